"""Tables in Markdown."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence


def markdown_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: int,
    escape: Callable[[str], str] = lambda cell: cell.replace("|", "\\|"),
    texts: Container[str] = (),
) -> Iterator[str]:
    """The lines of a table.

    Args:
        columns: their names, as they are written.
        rows: a text for each column.
        words: so many of the first columns are set to the left, the others, which hold numbers, to the right.
        escape: what each cell goes through; by default a bar ends no cell.
        texts: names of further columns that hold words.
    """
    yield f"| {' | '.join(columns)} |"
    left = [place < words or name in texts for place, name in enumerate(columns)]
    yield f"|{''.join('---|' if it else '---:|' for it in left)}"
    yield from (f"| {' | '.join(map(escape, row))} |" for row in rows)
