import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

from exporters.core.progress import Steps, shown_by
from pipeline.console import Console
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.steps import Sketch, page_steps


class Shown:
    """What was shown: names of pieces of work with their totals, and how many steps were counted of each."""

    def __init__(self) -> None:
        self.names: list[tuple[str, int | None]] = []
        self.done: dict[str, int] = {}

    @contextmanager
    def track(self, description: str, total: int | None) -> Iterator[Steps]:
        self.names.append((description, total))
        shown = self

        class Counter:
            def advance(self, steps: int = 1) -> None:
                shown.done[description] = shown.done.get(description, 0) + steps

        yield Counter()


def made(name: str) -> Drawn:
    return Drawn(name, "<svg/>", "<svg/>", b"png")


def test_each_figure_is_named_with_its_number_and_their_total() -> None:
    shown = Shown()
    sketches = [Sketch("view-gallery", lambda: made("view-gallery")), Sketch("features", lambda: made("features"))]
    with shown_by(shown.track), page_steps(3) as steps:
        assert list(steps.draw(sketches)) == ["view-gallery", "features"]
        with steps.step("tables"):
            assert shown.done == {"drawing the page": 2}
    assert shown.names == [
        ("drawing the page", 3), ("figure 1 of 2, view gallery", None), ("figure 2 of 2, features", None),
        ("tables", None),
    ]  # fmt: skip
    assert shown.done == {"drawing the page": 3}


def test_figure_with_nothing_to_draw_is_a_step_and_no_figure() -> None:
    shown = Shown()
    with shown_by(shown.track), page_steps(2) as steps:
        figures = steps.draw([Sketch("class-spread", lambda: None), Sketch("wins", lambda: made("wins"))])
    assert list(figures) == ["wins"] and shown.done == {"drawing the page": 2}


def test_terminal_shows_the_step_below_the_page() -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    out = Terminal()
    console = Console(out, plain=False)

    def look() -> None:
        assert console._display is not None
        console._display.refresh()

    with shown_by(console.track), page_steps(1) as steps:
        steps.draw([Sketch("attention-maps", look)])
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert "drawing the page" in text and "figure 1 of 1, attention maps" in text
