"""A table of a page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: its caption.
        columns: headings.
        rows: of as many cells.
        names: how many cells at the start of a row are names rather than figures.
        texts: headings of further columns that hold texts.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    names: int = 1
    texts: tuple[str, ...] = ("why",)
