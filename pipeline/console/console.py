"""The console: lines, tables and bars on a terminal, plain lines elsewhere, and little where it is to be quiet."""

import os
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.progress import Progress
from rich.text import Text

from exporters.core.visible import visible
from pipeline.console.bars import Bar, Line
from pipeline.streams import echo, styled
from pipeline.tables import fitting_table

_SILENCE = 8.0
"""Seconds without a line after which, away from a terminal, running work says how far it is: with the second that the
watching thread may be late, never more than 10."""

_WORTH_SAYING = 10.0  # per cent of an epoch spent waiting for data

_UNLIMITED = 10_000


class _Rich(RichConsole):
    """Rich's console, in which no text brings escape sequences; it prints for others too while a bar is shown."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich has it."""
        super().print(*map(_cleaned, objects), **options)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Text):
        value = value.copy()
        value.plain = visible(value.plain)
    return value


class Console:
    """Lines, tables and progress on one stream.

    `NO_COLOR` takes colours and bold letters away; bars stay.

    Args:
        stream: where to write; standard output by default.
        plain: force plain lines; by default wherever the stream is no terminal that can move its cursor, or `CI` is
            set.
        quiet: print results alone (`result`), and warnings on standard error.
    """

    def __init__(self, stream: IO[str] | None = None, plain: bool | None = None, quiet: bool = False) -> None:
        stream = stream if stream is not None else sys.stdout
        if plain is None:
            plain = bool(os.environ.get("CI")) or os.environ.get("TERM") in ("dumb", "unknown") or not stream.isatty()
        self.plain = plain
        self.quiet = quiet
        self._plain_width = max(120, int(os.environ.get("COLUMNS", "0") or 0))
        self._rich = self._writer(stream)
        self._bars: list[Bar] = []
        self._display: Progress | None = None
        self._stopped: threading.Event | None = None
        self._beating = threading.Lock()
        self._last_line = time.monotonic()

    def _writer(self, stream: IO[str]) -> _Rich:
        return _Rich(
            file=styled(stream),
            width=_UNLIMITED if self.plain else None,  # a table may exceed a page's width where nothing folds it
            force_terminal=False if self.plain else None,  # None: as the stream is
            color_system=None if os.environ.get("NO_COLOR") else "auto",
            highlight=False,
            emoji=False,
        )

    def say(self, text: str) -> None:
        """Print one line; on a terminal it is wrapped between words, unless it is indented: commands are copied."""
        if not self.quiet:
            self._print(text)

    def result(self, text: str) -> None:
        """Print what the command was asked for, even where the console is quiet."""
        self._print(text)

    def heading(self, text: str) -> None:
        """Print the name of what begins now."""
        if not self.quiet:
            self._print(f"── {text}", style="bold")

    def warn(self, text: str) -> None:
        """Print a line that must not be overlooked."""
        if self.quiet:
            echo(f"WARNING: {text}", err=True)
        else:
            self._print(f"WARNING: {text}", style="bold yellow")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> None:
        """Print a table, every text as it stands; the first `words` columns are words, those after them figures.

        Where it is wider than the terminal, words are wrapped; if that is not enough, rows are stacked. Away from a
        terminal a row stays a row, as long as it has to be.
        """
        if self.quiet:
            return
        self._print(title, style="bold")  # a table would fold it to its own width
        columns, clean = [visible(text) for text in columns], [[visible(cell) for cell in row] for row in rows]
        shown = fitting_table(
            columns, clean, words, self._plain_width if self.plain else self._rich.width, stack=not self.plain
        )
        self._rich.print(shown, soft_wrap=isinstance(shown, Text))

    def _print(self, text: str, style: str | None = None) -> None:
        self._last_line = time.monotonic()
        text = visible(text)  # before lines are wrapped
        if not self.plain:
            text = "\n".join(map(self._wrapped, text.split("\n")))
        self._rich.print(text, style=style, markup=False, soft_wrap=True)

    def _wrapped(self, line: str) -> str:
        if line.startswith("  ") or len(line) <= self._rich.width:
            return line
        return textwrap.fill(line, self._rich.width, break_long_words=False, break_on_hyphens=False)

    def epoch_done(self, name: str, number: int, total: int, metrics: Mapping[str, Any]) -> None:
        """One line for a finished epoch; on a narrow terminal, as much of it as fits."""
        terms = "  ".join(f"{key[5:]} {value:.3f}" for key, value in metrics.items() if key.startswith("loss_"))
        begin = f"{name} {number:>{len(str(total))}}/{total}  loss {metrics['loss']:.4f}"
        top1 = f"top-1 {100 * metrics['validation_top1']:.2f} %"
        speed = f"  {metrics['time']['images_per_second']:.0f} images/s"
        if (waiting := metrics["time"]["waiting_for_data"]) >= _WORTH_SAYING:
            speed += f", {waiting:.0f} % of the time waiting for data"
        lines = [
            f"{begin}  validation {top1}  ({terms}){speed}",
            f"{begin}  {top1}  ({terms}){speed}",
            f"{begin}  {top1}  ({terms})",
            f"{begin}  validation {top1}{speed}",
            f"{begin}  {top1}{speed}",
            f"{begin}  {top1}",
        ]
        fits = [line for line in lines if self.plain or len(line) <= self._rich.width]
        self.say(fits[0] if fits else lines[-1])

    @contextmanager
    def track(self, description: str, total: int | None, *, unit: str = "", later: int = 0) -> Iterator[Bar]:
        """Track work of `total` steps (None: not known), which are bytes where `unit` is `"bytes"`.

        The bar vanishes when the block ends. Work in the block may be tracked too, and is shown below.

        Args:
            description: what is done, in a few words.
            total: number of steps.
            unit: of the steps.
            later: steps of the same kind that follow the block, for the time that is left.
        """
        bar = Bar(visible(description), total, unit, later, beat=self.beat)
        if self.quiet:
            yield bar
            return
        self._begin(bar)
        try:
            yield bar
        finally:
            self._end(bar)

    def beat(self) -> None:
        """Print where the work is, if nothing has been printed for long."""
        with self._beating:
            bars = list(self._bars)
            if bars and time.monotonic() - self._last_line > _SILENCE:
                self.say(f"{', '.join(bar.description for bar in bars)}: {bars[-1].where()}")

    def _begin(self, bar: Bar) -> None:
        self._bars.append(bar)
        if self.plain:
            if self._stopped is None:
                self._stopped = threading.Event()
                threading.Thread(target=self._beat_until, args=(self._stopped,), daemon=True).start()
            return
        if self._display is None:
            self._display = Progress(Line(self._rich), console=self._rich, transient=True)
            self._display.start()
        bar.show_in(self._display)

    def _end(self, bar: Bar) -> None:
        self._bars.remove(bar)
        if self._bars:
            bar.hide()
            return
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None
        if self._display is not None:
            self._display.stop()
            self._display = None

    def _beat_until(self, stopped: threading.Event) -> None:
        """A step may take minutes: a thread watches the time meanwhile."""
        while not stopped.wait(1.0):
            self.beat()
