"""From the results of arms to the figures that every report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.comparison.results import WHICH, ArmResult, Comparison, Which
from pipeline.evaluation.paired import PairedDifference, Spread, bootstrap_interval, mean_and_std, paired_difference


@dataclass(frozen=True, eq=False)
class ArmFigures:
    """One arm over its seeds; shares in [0, 1].

    Attributes:
        arm: its results.
        test: top-1 on the test split, of the chosen and of the final student.
        validation: the same on validation.
        seconds_per_epoch: of training.
        paired: the arm minus its reference on the test split; None for an arm without a reference, or where the two
            have no seed in common.
        plain: the arm minus plain training (`ce`) on the test split; None for `ce` itself, and where no arm is `ce` or
            the two have no seed in common.
        nll, ece: of the chosen student on the test split; None unless every seed has it.
        corrupted: its top-1 by kind of corruption, and `mean`; empty unless every seed has it.
        interval: 95 % around the mean of `test`, by the bootstrap over seeds and images; with one seed over images
            alone.
    """

    arm: ArmResult
    test: Mapping[Which, Spread]
    validation: Mapping[Which, Spread]
    seconds_per_epoch: Spread
    paired: Mapping[Which, PairedDifference] | None
    plain: Mapping[Which, PairedDifference] | None = None
    nll: Spread | None = None
    ece: Spread | None = None
    corrupted: Mapping[str, Spread] = field(default_factory=dict)
    interval: Mapping[Which, tuple[float, float]] = field(default_factory=dict)

    @property
    def learned_seeds(self) -> int:
        """Under how many seeds the chosen student is above chance level on the test split."""
        return sum(result.learned for result in self.arm.seeds)


def analyse(comparison: Comparison) -> tuple[ArmFigures, ...]:
    """The figures of every arm, in the order of the arms.

    Raises:
        ValueError: an arm without results, two arms of one name, a reference that is no arm, or arms that were scored
            on different images.
    """
    arms = {arm.name: arm for arm in comparison.arms}
    if len(arms) < len(comparison.arms):
        raise ValueError("two arms have the same name")
    return tuple(_figures(arm, arms) for arm in comparison.arms)


def _figures(arm: ArmResult, arms: Mapping[str, ArmResult]) -> ArmFigures:
    if not arm.seeds:
        raise ValueError(f"the arm {arm.name!r} has no results")
    if arm.reference is not None and arm.reference not in arms:
        raise ValueError(f"the arm {arm.name!r} is paired with {arm.reference!r}, which is no arm")
    paired = None if arm.reference is None else _both(arm, arms[arm.reference])
    plain = None
    ce = next((other for other in arms.values() if _is_plain(other)), None)
    if ce is not None and ce is not arm:
        plain = paired if arm.reference == ce.name else _both(arm, ce)
    return ArmFigures(
        arm=arm,
        test={which: mean_and_std([result.test[which] for result in arm.seeds]) for which in WHICH},
        validation={which: mean_and_std([result.validation[which] for result in arm.seeds]) for which in WHICH},
        seconds_per_epoch=mean_and_std([result.seconds_per_epoch for result in arm.seeds]),
        paired=paired,
        plain=plain,
        nll=_spread([result.nll for result in arm.seeds]),
        ece=_spread([result.ece for result in arm.seeds]),
        corrupted=_corrupted(arm),
        interval={which: _interval(arm, which) for which in WHICH},
    )


def _interval(arm: ArmResult, which: Which) -> tuple[float, float]:
    return bootstrap_interval(np.stack([result.correct[which].astype(np.int8) for result in arm.seeds]))


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return mean_and_std(known) if len(known) == len(values) else None


def _corrupted(arm: ArmResult) -> dict[str, Spread]:
    measured = [result.corrupted for result in arm.seeds if result.corrupted is not None]
    if len(measured) < len(arm.seeds):
        return {}
    return {kind: mean_and_std([values[kind] for values in measured]) for kind in measured[0]}


def _is_plain(arm: ArmResult) -> bool:
    return arm.method == "ce" and arm.ablates is None


def _both(arm: ArmResult, reference: ArmResult) -> dict[Which, PairedDifference] | None:
    """The difference of the chosen and of the last student; None without a common seed."""
    if not {result.seed for result in arm.seeds} & {result.seed for result in reference.seeds}:
        return None
    return {which: _paired(arm, reference, which) for which in WHICH}


def _paired(arm: ArmResult, reference: ArmResult, which: Which) -> PairedDifference:
    first, second = ({result.seed: result.correct[which] for result in each.seeds} for each in (arm, reference))
    return paired_difference(first, second)


def plain_arm(figures: Sequence[ArmFigures]) -> ArmFigures | None:
    """The arm that is trained from labels alone; None where there is none."""
    return next((each for each in figures if _is_plain(each.arm)), None)


def main_arms(figures: tuple[ArmFigures, ...]) -> tuple[ArmFigures, ...]:
    """The arms that belong to no ablation."""
    return tuple(each for each in figures if each.arm.ablates is None)


def ablations(figures: tuple[ArmFigures, ...]) -> dict[str, tuple[ArmFigures, ...]]:
    """The arms of the ablation by what TMKD is plugged into, bases and arms in the order given."""
    groups: dict[str, tuple[ArmFigures, ...]] = {}
    for each in figures:
        if each.arm.ablates is not None:
            base = each.arm.base or each.arm.method
            groups[base] = (*groups.get(base, ()), each)
    return groups
