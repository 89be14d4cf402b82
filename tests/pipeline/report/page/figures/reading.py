"""What stands in a figure's SVG."""

from xml.etree import ElementTree

from pipeline.report.page.figures.drawing import Drawn

_SVG = "{http://www.w3.org/2000/svg}"


def texts(figure: Drawn) -> list[str]:
    """All texts, in order."""
    return ["".join(each.itertext()).strip() for each in ElementTree.fromstring(figure.svg).iter(f"{_SVG}text")]


def colours(figure: Drawn) -> set[str]:
    """All fill and stroke colours."""
    found = set()
    for each in ElementTree.fromstring(figure.svg).iter():
        for part in each.get("style", "").split(";"):
            key, _, value = part.partition(":")
            if key.strip() in ("fill", "stroke"):
                found.add(value.strip())
    return found
