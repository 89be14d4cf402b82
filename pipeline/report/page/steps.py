"""The work on a page, step by step: each step has a name, which is shown while it is done."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from exporters.core.progress import Steps, working
from pipeline.report.page.figures.drawing import Drawn


@dataclass(frozen=True)
class Sketch:
    """A figure that is still to be drawn.

    Attributes:
        name: of its files, and of what it draws.
        draw: draws it; None where there turns out to be nothing to draw.
    """

    name: str
    draw: Callable[[], Drawn | None]


class PageSteps:
    """Counts the steps of one page; made by `page_steps`."""

    def __init__(self, bar: Steps) -> None:
        self._bar = bar

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A block that is one step.

        Args:
            name: what is done, in a few words.
        """
        with working(name):
            yield
        self._bar.advance()

    def draw(self, sketches: Sequence[Sketch]) -> dict[str, Drawn]:
        """Figures by name, in their order; a step for each."""
        figures = {}
        for number, sketch in enumerate(sketches, start=1):
            with self.step(f"figure {number} of {len(sketches)}, {sketch.name.replace('-', ' ')}"):
                figure = sketch.draw()
            if figure is not None:
                figures[sketch.name] = figure
        return figures


@contextmanager
def page_steps(total: int) -> Iterator[PageSteps]:
    """A block that draws and writes a page.

    Args:
        total: number of its steps, the figures among them.
    """
    with working("drawing the page", total) as bar:
        yield PageSteps(bar)
