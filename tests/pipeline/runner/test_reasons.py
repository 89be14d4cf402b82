import pytest

from pipeline.runner.reasons import brief, differences

TMKD = {"code": "a", "python": '"3.11"', "stage teacher": "x", "distill.method": '"tmkd"', "distill.base": '"cat_kd"',
        "distill.feature.weight": "40.0", "distill.views.edge.kind": '"edge"', "train.epochs": "2"}  # fmt: skip
CE = {"code": "b", "python": '"3.11"', "stage teacher": "y", "distill.method": '"ce"', "distill.feature.weight": "0.0",
      "train.epochs": "2", "train.ema": "true"}  # fmt: skip


def test_most_informative_reason_comes_first() -> None:
    assert differences(TMKD, CE) == [
        'distill.method was "tmkd", is "ce"',
        "distill.feature.weight was 40.0, is 0.0",
        "teacher changed",
        "its code changed",
        'distill.base was "cat_kd", is not there',
        "train.ema was not there, is true",
        'distill.views.edge.kind was "edge", is not there',
    ]


def test_equal_or_missing_records_have_no_differences() -> None:
    assert differences(TMKD, TMKD) == [] and differences({}, CE) == []


@pytest.mark.parametrize("count", range(6))
def test_three_reasons_are_shown_and_the_rest_counted(count: int) -> None:
    reasons = [f"reason {number}" for number in range(count)]
    more = f"; and {count - 3} more (`plan --verbose`)" if count > 3 else ""
    assert brief(reasons) == "; ".join(reasons[:3]) + more


def test_a_long_value_does_not_fill_the_screen() -> None:
    shortened = brief([f"teacher.text.class_names was {'x' * 5000}, is null"] * 2)
    assert len(shortened) < 250 and shortened.count("…") == 2


def test_long_reason_is_cut_between_words() -> None:
    names = ", ".join(f"species_{number}" for number in range(40))
    (shown,) = [brief([f"teacher.text.class_names was {names}, is null"])]
    assert (
        len(shown) <= 120 and shown.endswith(", …") and shown.removesuffix(", …").split(", ")[-1] in names.split(", ")
    )


def test_changed_images_are_told_in_words() -> None:
    assert differences({"file folder files": "1"}, {"file folder files": "2"}) == [
        "the image files changed (names, sizes or times)"
    ]
