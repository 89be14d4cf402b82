"""Results as a notebook shows them: a table in HTML, and the same as text elsewhere."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from exporters.core.visible import visible

_WIDTH = 120


@dataclass(frozen=True)
class Shown:
    """A table with a title and lines below it.

    Attributes:
        title: in a line above the table.
        columns: headers.
        rows: a text for each column.
        words: the first so many columns hold words, those after them figures.
        lines: below the table.
    """

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    words: int = 1
    lines: Sequence[str] = ()

    def text(self) -> str:
        """For `repr` and `print`."""
        from rich.console import Console

        from pipeline.tables import fitting_table

        parts = [visible(self.title)]
        if self.rows:
            stream = io.StringIO()
            cells = [[visible(cell) for cell in row] for row in self.rows]
            table = fitting_table(list(map(visible, self.columns)), cells, self.words, _WIDTH, stack=False)
            Console(file=stream, width=10_000, color_system=None).print(table)
            parts.append(stream.getvalue().rstrip("\n"))
        return "\n".join([*parts, *map(visible, self.lines)])

    def html(self) -> str:
        """For Jupyter; every text is escaped, and no style is set that a theme could not change."""
        parts = [f"<p><strong>{_clean(self.title)}</strong></p>"]
        if self.rows:
            head = "".join(f"<th>{_clean(column)}</th>" for column in self.columns)
            body = "".join(f"<tr>{''.join(f'<td>{_clean(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if self.lines:
            parts.append(f"<p>{'<br>'.join(map(_clean, self.lines))}</p>")
        return "".join(parts)


def _clean(text: str) -> str:
    return escape(visible(text))
