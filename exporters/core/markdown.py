"""Tables in Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence


def markdown_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: int,
    escape: Callable[[str], str] = lambda cell: cell.replace("|", "\\|"),
) -> Iterator[str]:
    """The lines of a table.

    Args:
        columns: their names, as they are written.
        rows: a text for each column.
        words: so many of the first columns are set to the left, the others, which hold numbers, to the right.
        escape: what each cell goes through; by default a bar ends no cell.
    """
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * words}{'---:|' * (len(columns) - words)}"
    yield from (f"| {' | '.join(map(escape, row))} |" for row in rows)
