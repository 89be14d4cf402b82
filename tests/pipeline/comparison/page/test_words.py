from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison.best import best_arm
from pipeline.comparison.page.facts import ComparisonFacts, read_comparison
from pipeline.comparison.page.words import Words, words
from tests.pipeline.comparison.making import make_folder


def said(folder: Path, **options: Any) -> tuple[Words, ComparisonFacts]:
    make_folder(folder, **options)
    facts = read_comparison(folder)
    return words(facts, best_arm(facts.figures), None, {}, "runs/my cmp"), facts


def test_verdict_names_the_best_arm_and_what_it_cannot_be_told_apart_from(tmp_path: Path) -> None:
    text, facts = said(tmp_path / "cmp", images=600)
    best = best_arm(facts.figures)
    assert best is not None and best.arm.arm.name in text.verdict and text.state == "shipped"
    told = " ".join(text.why)
    assert "**" not in told and "`" not in told
    accuracy, (low, high) = best.arm.test["chosen"].mean, best.arm.interval["chosen"]
    assert f"{100 * accuracy:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f})" in told
    apart = "not to be told apart from"
    alike = [name for name, paired in best.differences.items() if paired.verdict == "not distinguishable"]
    assert (apart in told) is bool(alike)
    sentence = next((line for line in text.why if apart in line), "")
    assert all(f"{name} (" in sentence for name in alike)


def test_many_arms_are_named_and_their_differences_left_to_the_table(tmp_path: Path) -> None:
    text, facts = said(tmp_path / "cmp", arms=["ce", *(f"kd {number}" for number in range(11))], images=300)
    best = best_arm(facts.figures)
    assert best is not None
    better = [name for name, paired in best.differences.items() if paired.verdict == "better"]
    assert len(better) > 4 and f"It is better than {'; '.join(better)}." in text.why


def test_arms_that_cannot_be_told_apart_give_no_green_verdict(tmp_path: Path) -> None:
    text, facts = said(tmp_path / "cmp", arms=["kd", "dkd"], seeds=(0,), images=9)
    best = best_arm(facts.figures)
    if best is None:  # with nine images, neither need be above chance level
        assert text.state == "failed"
    else:
        assert text.state == "unfinished"
    assert "one seed" in " ".join(text.why) or best is None


@pytest.mark.parametrize(("missing", "verdict"), [([("kd", 1)], "Not finished: 5 of 6 runs"), ([], None)])
def test_unfinished_comparison_says_so_first(
    tmp_path: Path, missing: list[tuple[str, int]], verdict: str | None
) -> None:
    text, _facts = said(tmp_path / "cmp", missing=missing)
    assert (text.verdict == verdict and text.state == "unfinished") is bool(missing)
    assert text.commands[0][0].startswith("go on" if missing else "repeat")
    assert text.commands[1][1] == "tmkd-pipeline report 'runs/my cmp'"


def test_comparison_without_results_has_a_verdict_too(tmp_path: Path) -> None:
    text, _facts = said(tmp_path / "cmp", arms=["ce"], seeds=(0,), missing=[("ce", 0)])
    assert text.verdict == "Not finished: 0 of 1 run" and text.state == "unfinished"


def test_verdict_is_green_only_where_an_arm_is_shown_to_be_better_than_plain_training(tmp_path: Path) -> None:
    for number, images in enumerate((12, 600)):
        text, facts = said(tmp_path / str(number), images=images)
        better = [each for each in facts.figures if each.plain and each.plain["chosen"].interval[0] > 0]
        best = best_arm(facts.figures)
        if best is not None and best.arm.arm.name != "ce":
            assert (text.state == "shipped") is bool(better)
            assert ("No arm is shown to be better" in text.verdict) is not bool(better)
