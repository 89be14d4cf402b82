"""Tables that stay readable at any width: cells wrap between words, and a table that is still too wide is stacked."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_BORDERS = 3
"""Letters around a cell, its blanks and one border; the table has one border more."""
_GAP = "   "


def fitting_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], words: int, width: int, *, stack: bool = True
) -> Table | Text:
    """Lay out a table so that no word and no number is broken.

    Headers and words wrap at blanks; figures never wrap. Where that does not fit, each row becomes a block of lines
    with the header before every value, or the table exceeds the width.

    Args:
        columns: headers.
        rows: a text for each column.
        words: the first so many columns hold words, those after them figures.
        width: of the terminal, in letters.
        stack: whether a table that cannot fit is stacked.
    """
    widths = _column_widths(columns, rows, words, width)
    if widths is None and stack:
        return Text("\n".join(_stacked(columns, rows, words, width)))
    table = Table()
    for number, column in enumerate(columns):
        size = None if widths is None else widths[number]
        table.add_column(Text(column), justify="left" if number < words else "right", overflow="fold", width=size)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], words: int, width: int) -> list[int] | None:
    """The width of each column, the widest ones narrowed as far as needed; None where the table cannot fit."""
    cells = [[column, *(row[number] for row in rows)] for number, column in enumerate(columns)]
    widths = [max(map(_longest_line, texts)) for texts in cells]
    least = [
        max(
            _longest_word(texts[0]),
            *(_longest_word(text) if number < words else _longest_line(text) for text in texts[1:]),
            0,
        )
        for number, texts in enumerate(cells)
    ]
    excess = sum(widths) + _BORDERS * len(widths) + 1 - width
    while excess > 0:
        narrowable = [number for number in range(len(widths)) if widths[number] > least[number]]
        if not narrowable:
            return None
        widest = max(narrowable, key=lambda number: widths[number])
        widths[widest] -= 1
        excess -= 1
    return widths


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _stacked(columns: Sequence[str], rows: Sequence[Sequence[str]], words: int, width: int) -> Iterator[str]:
    """The first header; then each row: its first cell, its other words in their own lines, its figures side by side."""
    first_figure = max(words, 1)
    sizes = [max(map(_longest_line, texts)) for texts in zip(*rows, strict=True)]
    if columns[0]:
        yield from _wrapped(columns[0].split(), " ", width, "", "  ")
    for row in rows:
        head, *_ = row
        yield from _wrapped(head.split(), " ", width, "", "  ")
        for column, cell in zip(columns[1:first_figure], row[1:first_figure], strict=True):
            if not cell:
                continue
            yield from _wrapped(f"{column}: {cell}".split(), " ", width, "  ", "    ")
        figures = zip(columns[first_figure:], row[first_figure:], sizes[first_figure:], strict=True)
        pairs = [f"{column}{' ' * (size - cell_len(cell))} {cell}" for column, cell, size in figures if cell]
        yield from _wrapped(pairs, _GAP, width, "  ", "  ")


def _wrapped(parts: Sequence[str], between: str, width: int, indent: str, further: str) -> Iterator[str]:
    """Lines of unbroken parts, as many in each as fit."""
    line = ""
    for part in parts:
        if line and cell_len(line) + cell_len(between) + cell_len(part) > width:
            yield line
            line, indent = "", further
        line = f"{line}{between}{part}" if line else f"{indent}{part}"
    if line:
        yield line
