"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere."""

import os
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from exporters.core.visible import visible
from pipeline.streams import styled
from pipeline.tables import fitting_table

_LONGEST_SILENCE = 20.0  # seconds; away from a terminal, running work says how far it is

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


class Bar:
    """One tracked piece of work; counts steps and shows a few figures next to them."""

    def __init__(self, console: "Console", description: str, total: int | None, unit: str = "") -> None:
        self.description = description
        self._console = console
        self._total = total
        self._unit = unit
        self._task: tuple[Progress, TaskID] | None = None
        self._done = 0
        self._note = ""
        self.started = time.monotonic()

    def show_in(self, progress: Progress) -> None:
        """Become a line of a terminal's display."""
        task = progress.add_task(self.description, total=self._total, note="", unit=self._unit)
        self._task = progress, task

    def hide(self) -> None:
        """Leave the display."""
        if self._task is not None:
            progress, task = self._task
            progress.remove_task(task)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        self._done += steps
        if self._task is not None:
            progress, task = self._task
            progress.advance(task, steps)
        else:
            self._console.beat()

    def reach(self, done: int, total: int) -> None:
        """Say how many steps are done, and of how many."""
        self._total = total
        if self._task is not None:
            progress, task = self._task
            progress.update(task, total=total)
        self.advance(done - self._done)

    def where(self) -> str:
        """How far the work is, and its figures."""
        if self._unit == "bytes":
            of = "" if self._total is None else f" of {self._total / 1e6:,.1f}"
            where = f"{self._done / 1e6:,.1f}{of} MB"
        elif self._total is not None:
            where = f"{self._done}/{self._total}"
        else:
            where = f"{self._done}" if self._done else f"{self.seconds:.0f} s so far"
        return f"{where} {self._note}".rstrip()

    def show(self, **figures: float) -> None:
        """Show figures next to the bar."""
        self._note = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._task is not None:
            progress, task = self._task
            progress.update(task, note=self._note)


class _Count(ProgressColumn):
    """Steps or bytes that are done; nothing where there is nothing to count."""

    def __init__(self) -> None:
        super().__init__()
        self._steps, self._bytes = MofNCompleteColumn(), DownloadColumn()

    def render(self, task: Task) -> Text:
        if task.fields["unit"] == "bytes":
            return self._bytes.render(task)
        return self._steps.render(task) if task.total is not None or task.completed else Text()


class _Time(ProgressColumn):
    """The time that is left; where that cannot be known, the time that has passed."""

    def __init__(self) -> None:
        super().__init__()
        self._left, self._passed, self._speed = TimeRemainingColumn(), TimeElapsedColumn(), TransferSpeedColumn()

    def render(self, task: Task) -> Text:
        time_ = self._passed.render(task) if task.total is None else self._left.render(task)
        return Text.assemble(self._speed.render(task), " ", time_) if task.fields["unit"] == "bytes" else time_


class Console:
    """Lines, tables and progress on one stream.

    Args:
        stream: where to write; standard output by default.
        plain: force plain lines; by default wherever the stream is no terminal that can move its cursor, or `CI` is
            set.
    """

    def __init__(self, stream: IO[str] | None = None, plain: bool | None = None) -> None:
        stream = stream if stream is not None else sys.stdout
        if plain is None:
            plain = bool(os.environ.get("CI")) or os.environ.get("TERM") in ("dumb", "unknown") or not stream.isatty()
        self.plain = plain
        self._plain_width = max(120, int(os.environ.get("COLUMNS", "0") or 0))
        width = _UNLIMITED if self.plain else None  # a table may exceed the width of a page where nothing folds it
        terminal = False if self.plain else None  # None: as the stream is
        self._rich = _Rich(file=styled(stream), width=width, force_terminal=terminal, highlight=False, emoji=False)
        self._bars: list[Bar] = []
        self._display: Progress | None = None
        self._stopped: threading.Event | None = None
        self._beating = threading.Lock()
        self._last_line = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line; on a terminal it is wrapped between words, unless it is indented: commands are copied."""
        self._print(text)

    def heading(self, text: str) -> None:
        """Print the name of what begins now."""
        self._print(f"── {text}", style="bold")

    def warn(self, text: str) -> None:
        """Print a line that must not be overlooked."""
        self._print(f"WARNING: {text}", style="bold yellow")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> None:
        """Print a table, every text as it stands; the first `words` columns are words, those after them figures.

        Where it is wider than the terminal, words are wrapped; if that is not enough, rows are stacked. Away from a
        terminal a row stays a row, as long as it has to be.
        """
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
    def track(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Bar]:
        """Track work of `total` steps (None: not known), which are bytes where `unit` is `"bytes"`.

        The bar vanishes when the block ends. Work in the block may be tracked too, and is shown below.
        """
        bar = Bar(self, visible(description), total, unit)
        self._begin(bar)
        try:
            yield bar
        finally:
            self._end(bar)

    def beat(self) -> None:
        """Print where the work is, if nothing has been printed for long."""
        with self._beating:
            bars = list(self._bars)
            if bars and time.monotonic() - max(self._last_line, bars[0].started) > _LONGEST_SILENCE:
                self.say(f"{', '.join(bar.description for bar in bars)}: {bars[-1].where()}")

    def _begin(self, bar: Bar) -> None:
        self._bars.append(bar)
        if self.plain:
            if self._stopped is None:
                self._stopped = threading.Event()
                threading.Thread(target=self._beat_until, args=(self._stopped,), daemon=True).start()
            return
        if self._display is None:
            columns = (
                TextColumn("{task.description}", markup=False), BarColumn(), _Count(), _Time(),
                TextColumn("{task.fields[note]}", markup=False),
            )  # fmt: skip
            self._display = Progress(*columns, console=self._rich, transient=True)
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
