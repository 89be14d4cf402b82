"""Tables and texts of generated pages, as Markdown."""

from collections.abc import Iterable, Sequence
from html import escape


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown, in one line each."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("\n", " ") for cell in line) + " |\n" for line in lines)


def code(text: str) -> str:
    """Inline code that also holds in a cell of a table, whose bars no backslash would hide within backquotes."""
    return f"`{text}`" if "|" not in text else f"<code>{escape(text).replace('|', '&#124;')}</code>"


def plain(text: str) -> str:
    """A text of the code in Markdown: what stands in backquotes is code, everything else is taken as it is."""
    parts = text.split("`")
    outside = [
        part.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_") for part in parts[::2]
    ]
    inside = [code(part) for part in parts[1::2]]
    woven = [text for pair in zip(outside, [*inside, ""], strict=False) for text in pair]
    return "".join(woven)
