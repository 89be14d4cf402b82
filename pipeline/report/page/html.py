"""Pages as HTML: templates, filled, on one base with one style. For runs and for whatever else has a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from exporters import __version__
from exporters.core.visible import visible
from pipeline.data.path_table import printable
from pipeline.report.page.figures.drawing import Drawn

TEMPLATES = Path(__file__).parent / "templates"


def fill(
    template: str,
    *,
    figures: Mapping[str, Drawn],
    captions: Mapping[str, tuple[str, str]],
    folder: Path = TEMPLATES,
    **values: Any,
) -> str:
    """The HTML of a page: self-contained, without scripts; texts are escaped.

    Args:
        template: its name; it extends `base.html.j2` and may import from `macros.html.j2`.
        figures: by name; templates leave out those that are not there.
        captions: figure → its title and what it shows; of more than there are figures.
        folder: where the template is; base and macros are those of the run's page.
        values: whatever else the template wants; of the base: `title`, `state` (the colour of the verdict),
            `words.verdict`, and `of`, what the page is of.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_written,
    )
    return environment.get_template(template).render(
        figures={name: (*captions[name], Markup(figure.svg)) for name, figure in figures.items()},  # noqa: S704 (ours)
        version=__version__,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704
        **values,
    )


def _written(value: object) -> object:
    """A text as it may stand in a page: what would turn the direction of what follows, and bytes of no text, written
    out."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(printable(value))
