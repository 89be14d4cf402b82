"""What a manager reads first, on a few hundred images by hand."""

import numpy as np
import pytest

from pipeline.comparison.analysis import analyse
from pipeline.comparison.headline import headline
from pipeline.comparison.markdown import to_markdown
from pipeline.comparison.report import to_json
from pipeline.comparison.results import ArmResult, Comparison, SeedResult

CHANCE = 0.25
IMAGES = 400


def arm(name: str, *hits: int, reference: str | None = None, method: str | None = None, first: int = 0) -> ArmResult:
    """An arm whose students have the first so many of 400 images right, one figure a seed."""
    results = []
    for seed, right in enumerate(hits):
        correct = np.arange(IMAGES) < right
        accuracy = dict.fromkeys(("chosen", "final"), right / IMAGES)
        both = dict.fromkeys(("chosen", "final"), correct)
        results.append(SeedResult(first + seed, "run", accuracy, accuracy, 1.0, both, None, CHANCE))
    return ArmResult(name, method or name, None, {}, reference, tuple(results))


def comparison(*arms: ArmResult) -> Comparison:
    return Comparison("tiny", "00", "tmkd-pipeline compare", "data", {}, arms)


def sentences(*arms: ArmResult) -> list[str]:
    return headline(analyse(comparison(*arms)))


def test_plain_training_is_best_and_two_of_three_arms_did_not_learn() -> None:
    # 95 % Wilson intervals: 116 in 400 is 24.8 to 33.6 %, around chance; 120 in 400 is 25.7 to 34.7 %.
    failed = arm("kd", 100, 116, reference="ce"), arm("tmkd on kd", 120, 116, reference="kd")
    assert sentences(arm("ce", 300, 301), *failed) == [
        "**Plain training (`ce`) is the only arm that learned**, with 75.12 % of 400 test images.",
        "**2 of 3 arms did not learn**: `kd`, `tmkd on kd` (under 1 of 2 seeds); not above chance level, which is"
        " 25.00 % by always answering the commonest class.",
    ]  # fmt: skip


def test_plain_training_is_best() -> None:
    assert sentences(arm("ce", 300, 301), arm("kd", 290, 295, reference="ce"), arm("dkd", 99, 98, reference="ce")) == [
        "**No arm is above plain training** (`ce`), which has 75.12 % of 400 test images.",
        "**1 of 3 arms did not learn**: `dkd`; not above chance level, which is 25.00 % by always answering the"
        " commonest class.",
    ]  # fmt: skip


def test_single_arm_is_not_compared() -> None:
    assert sentences(arm("kd", 300, 302)) == ["**`kd` reaches 75.25 %** of 400 test images; no other arm was compared."]


def test_an_arm_is_best_where_it_is_shown_to_be_better_than_plain_training() -> None:
    (sentence,) = sentences(arm("ce", 200, 202), arm("kd", 300, 304, reference="ce"))
    assert sentence.startswith(
        "**`kd` is best here**, with 75.50 % of 400 test images: +25.25 points against plain training (`ce`, 50.25 %),"
        " 95 % interval [+"
    )


def test_the_highest_figure_alone_is_no_proof() -> None:
    (sentence,) = sentences(arm("ce", 200, 210), arm("kd", 204, 208, reference="ce"))
    assert sentence.startswith(
        "**No arm is shown to be better than plain training** (`ce`, 51.25 %). The highest figure, 51.50 % of `kd`,"
        " differs from plain training by +0.25 points, and the 95 % interval ["
    )
    assert sentence.endswith("] holds 0.")


def test_proven_best_arm_precedes_an_unproven_higher_figure() -> None:
    # The highest differs much from seed to seed, and under one seed it is below plain training.
    first, *_ = sentences(
        arm("ce", 200, 200), arm("kd", 260, 262, reference="ce"), arm("dkd", 180, 380, reference="ce")
    )
    assert first.startswith("**`kd` is best here**, with 65.25 % of 400 test images: +15.25 points")
    assert "The highest figure, 70.00 % of `dkd`, differs from plain training by +20.00 points" in first


def test_without_plain_training_nothing_is_said_of_teachers() -> None:
    (sentence,) = sentences(arm("kd", 300), arm("dkd", 320))[:1]
    assert sentence == (
        "**`dkd` has the highest accuracy**, 80.00 % of 400 test images. Plain training (`ce`) is not among the arms,"
        " so that nothing here says whether a teacher helps."
    )


def test_plain_training_that_did_not_learn_is_no_yardstick() -> None:
    first, second = sentences(
        arm("ce", 90, 95), arm("kd", 300, 300, reference="ce"), arm("dkd", 310, 310, reference="ce")
    )
    assert first == (
        "**`dkd` has the highest accuracy**, 77.50 % of 400 test images; plain training (`ce`, 23.12 %) did not learn."
    )
    assert second.startswith("**1 of 3 arms did not learn**: `ce`;")
    others = arm("kd", 300, 300, reference="ce"), arm("dkd", 310, 310, reference="ce")
    first, second = sentences(arm("ce", 116, 300), *others)
    assert first.endswith("plain training (`ce`, 52.00 %) did not learn under 1 of 2 seeds.")
    assert second.startswith("**1 of 3 arms did not learn**: `ce` (under 1 of 2 seeds);")


def test_nothing_learned_at_all() -> None:
    first, second = sentences(arm("ce", 100), arm("kd", 104, reference="ce"))
    assert first.startswith(
        "**No arm learned**: each has a student that is not above chance level (25.00 % of 400 test"
    )
    assert second == "With one seed, take this as a hint."


def test_one_arm_alone_learned() -> None:
    first, _ = sentences(arm("ce", 100, 101), arm("kd", 300, 304, reference="ce"))
    assert first == "**`kd` is the only arm that learned**, with 75.50 % of 400 test images."


def test_missing_common_seed_is_stated() -> None:
    (sentence,) = sentences(arm("ce", 200, 202), arm("kd", 300, 304, reference="ce", first=7))
    assert sentence == (
        "**No arm is shown to be better than plain training** (`ce`, 50.25 %). The highest figure, 75.50 % of `kd`,"
        " has no seed in common with plain training."
    )


ARMS = (
    arm("ce", 200, 202),
    arm("kd", 220, 224, reference="ce"),
    arm("tmkd on kd", 300, 304, reference="kd", method="tmkd"),
)


def test_every_arm_is_paired_with_plain_training_beside_its_own_reference() -> None:
    compared = comparison(*ARMS)
    figures = analyse(compared)
    assert figures[0].plain is None and figures[1].plain is figures[1].paired
    assert figures[2].plain is not None and figures[2].paired is not None
    assert figures[2].plain["chosen"].differences == (0.25, 102 / 400)
    assert figures[2].paired["chosen"].differences == (0.2, 0.2)
    arms = to_json(compared, figures)["arms"]
    assert [each["difference_to_ce"] and each["difference_to_ce"]["chosen"]["differences"] for each in arms] == [
        None, (0.05, 0.055), (0.25, 0.255),
    ]  # fmt: skip
    assert [each["learned_seeds"] for each in arms] == [2, 2, 2]


def test_document_begins_with_the_headline_and_compares_with_plain_training() -> None:
    compared = comparison(*ARMS)
    text = to_markdown(compared, analyse(compared))
    assert text.splitlines()[2] == headline(analyse(compared))[0]
    header, _, ce, kd, tmkd = (line for line in text.splitlines() if line.startswith("|"))
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    place = columns.index("difference to `ce`, points")
    assert columns[place - 1] == "difference to it, points"
    cells = [[cell.strip() for cell in row.strip("|").split("|")][place] for row in (ce, kd, tmkd)]
    assert cells[0] == "—" and cells[1].startswith("+5.25 ± 0.35 [") and cells[2].startswith("+25.25 ± 0.35 [")
    assert "Against plain training (`ce`): better, +25.25 [" in text and text.count("Against plain training") == 1
    assert "3 differences are judged here" in text


@pytest.mark.parametrize("arms", [ARMS[:2], (arm("kd", 220), arm("tmkd on kd", 300, reference="kd"))])
def test_no_column_where_it_would_repeat_the_reference_or_be_empty(arms: tuple[ArmResult, ...]) -> None:
    text = to_markdown(comparison(*arms), analyse(comparison(*arms)))
    assert "difference to `ce`" not in text and "Against plain training" not in text
