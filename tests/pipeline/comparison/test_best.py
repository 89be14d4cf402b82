import numpy as np
import pytest

from pipeline.comparison.analysis import analyse
from pipeline.comparison.best import best_arm
from pipeline.comparison.results import ArmResult, Comparison
from pipeline.evaluation.paired import paired_difference
from tests.pipeline.comparison.examples import large_comparison, seed_result


def test_best_arm_is_that_with_the_highest_accuracy_against_each_other() -> None:
    figures = analyse(large_comparison(2))
    best = best_arm(figures)
    assert best is not None
    means = {each.arm.name: np.mean([seed.correct["chosen"].mean() for seed in each.arm.seeds]) for each in figures}
    assert best.arm.arm.name == max(means, key=lambda name: means[name])
    assert set(best.differences) == set(means) - {best.arm.arm.name}
    for name, paired in best.differences.items():
        assert paired.mean == pytest.approx(means[best.arm.arm.name] - means[name])
    other = next(each for each in figures if each.arm.name == "kd")
    own = {seed.seed: seed.correct["chosen"] for seed in best.arm.arm.seeds}
    theirs = {seed.seed: seed.correct["chosen"] for seed in other.arm.seeds}
    assert best.differences["kd"] == paired_difference(own, theirs)
    for paired in best.differences.values():
        assert (paired.verdict == "not distinguishable") is (paired.interval[0] <= 0 <= paired.interval[1])


def test_arm_that_did_not_learn_is_not_best_and_one_without_a_common_seed_is_not_compared() -> None:
    right, wrong = np.arange(60) % 10 < 9, np.zeros(60, dtype=bool)

    def arm(name: str, correct: np.ndarray, seed: int) -> ArmResult:
        return ArmResult(name, "kd", None, {}, None, (seed_result(correct, correct, seed),))

    def best(*arms: ArmResult):  # type: ignore[no-untyped-def]
        return best_arm(analyse(Comparison("r", "0", "c", "d", {}, arms)))

    assert best(arm("a", wrong, 0)) is None
    found = best(arm("a", wrong, 0), arm("b", right, 0), arm("c", right, 1))
    assert found is not None and found.arm.arm.name == "b" and list(found.differences) == ["a"]
