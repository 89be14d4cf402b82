"""The arm with the highest accuracy against each of the others: which of them it can be told apart from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.comparison.analysis import ArmFigures
from pipeline.evaluation.paired import PairedDifference, paired_difference


@dataclass(frozen=True, eq=False)
class Best:
    """The arm with the highest test accuracy of the chosen epoch among those that learned under every seed.

    Attributes:
        arm: the figures of the arm.
        differences: other arm → the best one minus it, on test, chosen epoch; without arms that have no seed in common
            with it.
    """

    arm: ArmFigures
    differences: Mapping[str, PairedDifference]


def best_arm(figures: Sequence[ArmFigures]) -> Best | None:
    """The best of some arms; None where none learned."""
    learned = [each for each in figures if each.learned_seeds == len(each.arm.seeds)]
    if not learned:
        return None
    best = max(learned, key=lambda each: each.test["chosen"].mean)
    own = {result.seed: result.correct["chosen"] for result in best.arm.seeds}
    differences = {}
    for other in figures:
        theirs = {result.seed: result.correct["chosen"] for result in other.arm.seeds}
        if other is not best and own.keys() & theirs.keys():
            differences[other.arm.name] = paired_difference(own, theirs)
    return Best(best, differences)
