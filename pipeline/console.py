"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

_SECONDS_BETWEEN_LINES = 30.0


class Bar:
    """One tracked piece of work; counts steps and shows a few figures beside them."""

    def __init__(
        self, console: "Console", description: str, total: int | None, progress: Progress | None, unit: str = ""
    ) -> None:
        self._console = console
        self._description = description
        self._total = total
        self._unit = unit
        self._progress = progress
        self._task: TaskID | None = progress.add_task(description, total=total, note="") if progress else None
        self._done = 0
        self._note = ""
        self._started = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started

    def advance(self, steps: int = 1) -> None:
        """Count steps; away from a terminal, long work tells where it is every half minute."""
        self._done += steps
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)
        elif time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            self._console.say(f"{self._description}: {self._where()} {self._note}".rstrip())

    def _where(self) -> str:
        if self._unit == "bytes":
            of = "" if self._total is None else f" of {self._total / 1e6:,.1f}"
            return f"{self._done / 1e6:,.1f}{of} MB"
        return str(self._done) if self._total is None else f"{self._done}/{self._total}"

    def show(self, **figures: float) -> None:
        """Show figures beside the bar."""
        self._note = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, note=self._note)


class Console:
    """Lines, tables and progress on one stream.

    Args:
        stream: where to write; standard output by default.
        plain: force plain lines; by default wherever the stream is no terminal, or `CI` is set.
    """

    def __init__(self, stream: IO[str] | None = None, plain: bool | None = None) -> None:
        stream = stream if stream is not None else sys.stdout
        self.plain = plain if plain is not None else bool(os.environ.get("CI")) or not stream.isatty()
        width = None if not self.plain else max(120, int(os.environ.get("COLUMNS", "0") or 0))
        terminal = False if self.plain else None  # None: as the stream is
        self._rich = RichConsole(file=stream, width=width, force_terminal=terminal, highlight=False, emoji=False)

    def say(self, text: str) -> None:
        """Print one line."""
        self._rich.print(text, markup=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print the name of what begins now."""
        self._rich.print(f"── {text}", style="bold", markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line that must not be overlooked."""
        self._rich.print(f"WARNING: {text}", style="bold yellow", markup=False, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> None:
        """Print a table, every text as it stands; the first `words` columns are words, those after them figures."""
        self._rich.print(title, style="bold", markup=False, soft_wrap=True)  # a table would fold it to its own width
        table = Table()
        for number, column in enumerate(columns):
            table.add_column(Text(column), justify="left" if number < words else "right", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self._rich.print(table)

    def passed(self, name: str, number: int, total: int, metrics: dict[str, float]) -> None:
        """One line for a finished pass."""
        terms = "  ".join(f"{key[5:]} {value:.3f}" for key, value in metrics.items() if key.startswith("loss_"))
        self.say(
            f"{name} {number:>{len(str(total))}}/{total}  loss {metrics['loss']:.4f}"
            f"  validation top-1 {100 * metrics['validation_top1']:.2f} %  ({terms})"
            f"  {metrics['images_per_second']:.0f} images/s"
        )

    @contextmanager
    def track(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Bar]:
        """Track work of `total` steps (None: not known), which are bytes where `unit` is `"bytes"`.

        The bar vanishes when the block ends.
        """
        if self.plain:
            yield Bar(self, description, total, None, unit)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *((DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._rich, transient=True) as progress:
            yield Bar(self, description, total, progress, unit)
