"""From results to figures, by hand on a few images."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.comparison.analysis import ablations, analyse, main_arms
from pipeline.comparison.results import ArmResult, Comparison
from tests.pipeline.comparison.examples import large_comparison, seed_result


def arm(
    name: str, chosen: list[str], final: list[str] | None = None, reference: str | None = None, first: int = 0
) -> ArmResult:
    """An arm from rows such as `1101`, one a seed."""
    rows = [[np.array([sign == "1" for sign in row]) for row in given] for given in (chosen, final or chosen)]
    results = tuple(seed_result(*pair, first + seed) for seed, pair in enumerate(zip(*rows, strict=True)))
    return ArmResult(name, "kd", None, {}, reference, results)


def comparison(*arms: ArmResult) -> Comparison:
    return Comparison("tiny", "00", "tmkd-pipeline compare", "data", {}, arms)


def test_figures_equal_those_computed_by_hand() -> None:
    kd, tmkd = arm("kd", ["1100", "1000"]), arm("tmkd", ["1110", "1011"], ["1000", "0000"], "kd")
    first, second = analyse(comparison(kd, tmkd))
    assert first.paired is None and second.paired is not None
    assert (first.test["chosen"].mean, second.test["chosen"].mean) == (0.375, 0.75)
    assert first.test["chosen"].std == pytest.approx(0.25 / 2**0.5)
    assert second.validation["final"].mean == pytest.approx(0.125 + 0.01)
    assert second.seconds_per_epoch.mean == 13.0
    assert second.paired["chosen"].differences == (0.25, 0.5)
    assert second.paired["final"].differences == (-0.25, -0.25)


def test_likelihood_and_corruptions_are_averaged_where_every_seed_has_them() -> None:
    one = arm("kd", ["1100", "1000"])
    values = [(0.5, 0.1, {"blur": 0.2, "mean": 0.3}), (0.7, 0.2, {"blur": 0.4, "mean": 0.5})]
    known = tuple(
        replace(seed, nll=nll, ece=ece, corrupted=corrupted)
        for seed, (nll, ece, corrupted) in zip(one.seeds, values, strict=True)
    )
    (figures,) = analyse(comparison(replace(one, seeds=known)))
    assert figures.nll is not None and figures.ece is not None
    assert (figures.nll.mean, figures.ece.mean) == pytest.approx((0.6, 0.15))
    assert figures.nll.std == pytest.approx(0.2 / 2**0.5)
    assert {kind: spread.mean for kind, spread in figures.corrupted.items()} == pytest.approx(
        {"blur": 0.3, "mean": 0.4}
    )
    (partly,) = analyse(comparison(replace(one, seeds=(known[0], one.seeds[1]))))
    assert partly.nll is None and partly.ece is None and not partly.corrupted


def test_only_common_seeds_are_paired_and_all_are_averaged() -> None:
    kd, tmkd = arm("kd", ["1100", "1000"]), arm("tmkd", ["1111", "0000"], reference="kd", first=1)
    figures = analyse(comparison(kd, tmkd))[1]
    assert figures.test["chosen"].mean == 0.5 and figures.paired is not None
    assert figures.paired["chosen"].seeds == (1,) and figures.paired["chosen"].mean == 0.75
    apart = analyse(comparison(kd, arm("tmkd", ["1111"], reference="kd", first=7)))[1]
    assert apart.paired is None


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ((arm("kd", ["10"]), arm("kd", ["10"])), "same name"),
        ((arm("kd", ["10"]), arm("tmkd", ["10"], reference="dkd")), "'dkd', which is no arm"),
        ((arm("kd", []),), "no results"),
        ((arm("kd", ["10"]), arm("tmkd", ["101"], reference="kd")), "different images"),
    ],
)
def test_incomparable_arms_are_refused(arms: tuple[ArmResult, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analyse(comparison(*arms))


def test_ablations_are_grouped_by_base_in_order() -> None:
    figures = analyse(large_comparison(1))
    assert [each.arm.name for each in main_arms(figures)] == [arm.name for arm in large_comparison(1).arms[:7]]
    groups = ablations(figures)
    assert list(groups) == ["cat_kd"]
    assert [each.arm.ablates for each in groups["cat_kd"]] == ["weighting", "weighting", "contrast", "views", "views"]
