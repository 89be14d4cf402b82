"""Differences in words, and how they are read."""

from pipeline.comparison.analysis import analyse
from pipeline.comparison.results import ArmResult
from pipeline.comparison.sentences import difference_in_words, how_to_read, told_plain
from tests.pipeline.comparison.examples import arm, large_comparison, small


def said(*arms: ArmResult) -> str:
    """Of the last arm's difference."""
    figures = analyse(small(*arms))
    return difference_in_words(figures[-1], told_plain(figures))


def test_arms_without_a_common_seed_have_no_difference() -> None:
    text = said(arm("kd", ["11"]), arm("tmkd", ["10"], "kd", first=5))
    assert "`tmkd` and its reference `kd` have no seed in common: no difference can be given." in text


def test_equal_differences_of_seeds_give_no_t_interval() -> None:
    """Five more right of 40, under each of three seeds."""
    worse = ["1" * 20 + "0" * 20] * 3
    better = ["0" * 5 + "1" * 25 + "0" * 10] * 3
    text = said(arm("kd", worse), arm("tmkd", better, "kd"))
    assert "`tmkd` is **not distinguishable** from `kd`: +12.50 points" in text
    assert "Student's t" not in text
    assert "The difference is the same under all 3 seeds, which says nothing of their luck." in text


def test_seeds_that_nearly_agree_have_a_t_interval() -> None:
    worse = ["1" * 20 + "0" * 20] * 3
    better = ["0" * 5 + "1" * 25 + "0" * 10] * 2 + ["0" * 5 + "1" * 26 + "0" * 9]
    text = said(arm("kd", worse), arm("tmkd", better, "kd"))
    # Differences 5, 5 and 6 of 40: mean 13.33, std 1.443, times 4.3027/√3.
    assert "[+9.75, +16.92], which leaves out 0: the seeds agree, but other test images might not." in text


def test_text_depends_on_the_number_of_seeds() -> None:
    three, one = (" ".join(how_to_read(analyse(large_comparison(count)))) for count in (3, 1))
    assert "3 seeds show the luck of seeds roughly" in three and "uncertain by about 50 %" in three
    assert "With one seed, the interval covers the images alone." in one and "Student" not in one
