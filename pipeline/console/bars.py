"""Progress of one piece of work: a line of a terminal's display, or words in a plain line."""

import time
from collections.abc import Callable, Mapping

from rich.cells import cell_len, set_cell_size
from rich.console import Console as RichConsole
from rich.filesize import decimal
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text

_WIDEST_BAR, _NARROWEST_BAR = 30, 6
_SMALLEST_DESCRIPTION = 12
"""Letters of a description that stay, however narrow the terminal is."""


class Bar:
    """One tracked piece of work; counts steps and shows a few figures next to them.

    Args:
        description: what is done, in a few words.
        total: number of steps; None: not known.
        unit: `bytes` where steps are bytes.
        later: steps of the same kind that follow this piece of work, such as those of an epoch's successors; the time
            that is left includes them.
        beat: called at each step that no display shows.
    """

    def __init__(
        self, description: str, total: int | None, unit: str, later: int, beat: Callable[[], None] = lambda: None
    ) -> None:
        self.description = description
        self._total = total
        self._unit = unit
        self._later = later
        self._beat = beat
        self._task: tuple[Progress, TaskID] | None = None
        self._done = self._begun = 0
        self._figures: Mapping[str, float] = {}
        self.started = time.monotonic()

    def show_in(self, progress: Progress) -> None:
        """Become a line of a terminal's display."""
        self._task = progress, progress.add_task(self.description, total=self._total, bar=self)

    def hide(self) -> None:
        """Leave the display."""
        if self._task is not None:
            progress, task = self._task
            progress.remove_task(task)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started

    def begin_at(self, done: int) -> None:
        """Count steps that were done before the work began here; they say nothing about how fast it goes."""
        self._begun = done
        self.advance(done)

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        self._done += steps
        if self._task is not None:
            progress, task = self._task
            progress.advance(task, steps)
        else:
            self._beat()

    def reach(self, done: int, total: int) -> None:
        """Say how many steps are done, and of how many."""
        self._total = total
        if self._task is not None:
            progress, task = self._task
            progress.update(task, total=total)
        self.advance(done - self._done)

    def show(self, **figures: float) -> None:
        """Show figures next to the bar, the most important first: where room is short, the last ones go.

        A name such as `images/s` is the unit of its figure, and so is the `%` at the end of a name.
        """
        self._figures = figures

    def left(self) -> float | None:
        """Seconds that are left at the pace so far, with the steps that come later; None as long as it is unknown."""
        done = self._done - self._begun
        if self._total is None or done <= 0:
            return None
        return self.seconds / done * max(0, self._total - self._done + self._later)

    def count(self) -> str:
        """How many steps are done, and of how many; empty where there is nothing to count."""
        if self._unit == "bytes":
            of = "" if self._total is None else f"/{self._total / 1e6:,.1f}"
            speed = f"  {decimal(int(self._done / self.seconds))}/s" if self.seconds else ""
            return f"{self._done / 1e6:,.1f}{of} MB{speed}"
        if self._total is not None:
            return f"{self._done:,}/{self._total:,}"
        return f"{self._done:,}" if self._done else ""

    def share(self) -> float | None:
        """How much of the work is done, 0 to 1; None where it is unknown."""
        return None if self._total is None else min(1.0, self._done / self._total) if self._total else 1.0

    def clock(self) -> str:
        """The time that is left; where that is unknown, the time that has passed."""
        left = self.left()
        return duration(self.seconds) if left is None else f"{duration(left)} left"

    def figures(self) -> list[str]:
        """The figures in words, the most important first."""
        return [_figure(name, value) for name, value in self._figures.items()]

    def where(self) -> str:
        """How far the work is, its figures, and the time that is left or has passed, for a plain line."""
        if self._unit == "bytes":
            of = "" if self._total is None else f" of {self._total / 1e6:,.1f}"
            parts = [f"{self._done / 1e6:,.1f}{of} MB"]
        else:
            parts = [self.count()] if self.count() else []
        parts += self.figures()
        left = self.left()
        parts.append(f"{self.seconds:.0f} s so far" if left is None else f"{duration(left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in words of a clock: `0:07`, `12:40`, `3:05:00`."""
    whole = int(seconds + 0.5)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _figure(name: str, value: float) -> str:
    if name.endswith("/s"):
        return f"{value:,.0f} {name}" if value >= 10 else f"{value:.2g} {name}"
    if name.endswith(" %"):
        return f"{name[:-2]} {value:.3g} %"
    return f"{name} {value:.4g}"


class Line(ProgressColumn):
    """A bar as one line that always fits: description, bar, count, time, and as many figures as there is room for.

    Args:
        console: whose width counts, as it is when the line is drawn.
    """

    def __init__(self, console: RichConsole) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        """The line of a task whose field `bar` is its `Bar`."""
        bar: Bar = task.fields["bar"]
        return bar_line(bar, self._console.width - 1, plain=self._console.options.ascii_only)


def bar_line(bar: Bar, width: int, *, plain: bool = False) -> Text:
    """A bar in one line of at most `width` cells.

    Args:
        bar: the work.
        width: in cells.
        plain: use the letters of ASCII alone.
    """
    share, count, clock = bar.share(), bar.count(), bar.clock()
    parts = [part for part in (count, clock) if part]
    taken = sum(2 + cell_len(part) for part in parts)
    drawn = 0 if share is None else _NARROWEST_BAR + 2
    room = max(_SMALLEST_DESCRIPTION, width - taken - drawn)
    description = bar.description if cell_len(bar.description) <= room else _cut(bar.description, room, plain)
    free = width - cell_len(description) - taken - drawn
    for figure in bar.figures():
        if (needed := 2 + cell_len(figure)) > free:
            break
        parts.append(figure)
        free -= needed
    line = Text(description, no_wrap=True, overflow="crop", end="")
    if share is not None and width >= _SMALLEST_DESCRIPTION + taken + drawn:
        length = _NARROWEST_BAR + max(0, min(free, _WIDEST_BAR - _NARROWEST_BAR))
        full = int(length * share)
        line.append("  ").append(("#" if plain else "━") * full, "bar.complete")
        line.append(("." if plain else "─") * (length - full), "bar.back")
    for part in parts:
        line.append(f"  {part}")
    line.truncate(width)
    return line


def _cut(text: str, cells: int, plain: bool) -> str:
    end = "..." if plain else "…"
    return f"{set_cell_size(text, cells - len(end)).rstrip()}{end}"
