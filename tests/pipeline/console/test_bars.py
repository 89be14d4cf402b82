import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.console.bars import Bar, bar_line, duration


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    return moment


def working(description: str, total: int | None, done: int, unit: str = "", later: int = 0) -> Bar:
    bar = Bar(description, total, unit, later)
    bar.advance(done)
    return bar


def test_line_has_count_time_left_and_figures(now: list[float]) -> None:
    bar = working("student 3/12", 120, 30, later=60)
    bar.show(**{"loss": 1.23456, "top-1 %": 74.13, "images/s": 1234.5, "waiting for data %": 12.3})
    now[0] = 10.0  # 3 steps a second, and 150 to go
    line = bar_line(bar, 118).plain
    assert line.startswith("student 3/12  ━") and "─" in line
    assert line.endswith("  30/120  0:50 left  loss 1.235  top-1 74.1 %  1,234 images/s  waiting for data 12.3 %")
    assert bar.where() == "30/120, loss 1.235, top-1 74.1 %, 1,234 images/s, waiting for data 12.3 %, 0:50 left"


def test_least_important_figures_leave_a_narrow_terminal(now: list[float]) -> None:
    bar = working("student 3/12", 120, 30)
    bar.show(**{"loss": 1.23456, "top-1 %": 74.13, "images/s": 1234.5, "waiting for data %": 12.3})
    now[0] = 10.0
    line = bar_line(bar, 79).plain
    assert "top-1 74.1 %" in line and "waiting" not in line and len(line) <= 79


def test_steps_done_earlier_do_not_count_as_pace(now: list[float]) -> None:
    bar = Bar("student 3/12", 100, "", 0)
    bar.begin_at(90)
    assert bar.left() is None and bar.count() == "90/100"
    now[0] = 4.0
    bar.advance(2)
    assert bar.left() == pytest.approx(16.0)  # 2 s a step, 8 steps


def test_work_without_a_count_shows_the_time_that_has_passed(now: list[float]) -> None:
    bar = working("checking", None, 0)
    now[0] = 75.0
    assert bar_line(bar, 79).plain == "checking  1:15" and bar.where() == "75 s so far"


def test_plain_line_is_ascii(now: list[float]) -> None:
    bar = working("a description that is far too long for so narrow a terminal", 10, 5)
    now[0] = 1.0
    line = bar_line(bar, 60, plain=True).plain
    assert line.isascii() and "###..." in line and "...  " in line and len(line) <= 60


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (760, "12:40"), (11_100, "3:05:00")])
def test_durations_read_as_a_clock(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(
    st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), max_size=80),
    st.none() | st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from(["", "bytes"]),
    st.dictionaries(st.sampled_from(["loss", "top-1 %", "images/s"]), st.floats(0, 1e9), max_size=3),
    st.integers(20, 200),
    st.booleans(),
)
def test_line_never_exceeds_the_terminal(
    description: str, total: int | None, done: int, unit: str, figures: dict[str, float], width: int, plain: bool
) -> None:
    bar = working(description, total, done, unit)
    bar.show(**figures)
    line = bar_line(bar, width, plain=plain).plain
    assert cell_len(line) <= width and "\n" not in line
