import pytest

from pipeline.comparison.text import difference, interval, percent, points, seconds, spread, without_marks
from pipeline.evaluation.paired import PairedDifference, Spread


def test_figures_are_formatted() -> None:
    assert percent(0.7911) == "79.11" and percent(1.0) == "100.00"
    assert spread(Spread(0.7911, 0.007, 3)) == "79.11 ± 0.70"
    assert spread(Spread(0.7911, None, 1)) == "79.11"
    assert interval((-0.001, 0.013)) == "[-0.10, +1.30]"
    paired = PairedDifference((0,), 10, (0.007,), 0.007, None, (0.0, 0.0), None, ())
    assert difference(paired) == "+0.70"
    assert [seconds(Spread(value, None, 1)) for value in (8.24, 99.94, 112.4)] == ["8.2", "99.9", "112"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.007, "+0.70"), (-0.007, "-0.70"), (0.0, "0.00"), (-0.0, "0.00"), (-0.00004, "0.00"), (1.0, "+100.00")],
)
def test_points_have_a_sign_unless_they_are_none(share: float, text: str) -> None:
    assert points(share) == text


def test_marks_of_markdown_are_left_out_of_sentences() -> None:
    assert without_marks("**`tmkd` is best**, *mean* of 3 × 2 seeds") == "tmkd is best, mean of 3 × 2 seeds"
