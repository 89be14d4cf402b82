"""What a method computes follows from the recipe, and from the method where that leaves it open."""

from typing import Any

import pytest

from exporters.core.errors import UsageError
from pipeline.distill.loss_settings import resolve_losses
from pipeline.distill.registry import METHODS, base_methods
from pipeline.distill.settings import DistillSettings


def distill(**values: Any) -> DistillSettings:
    return DistillSettings.model_validate(values)


@pytest.mark.parametrize(
    ("method", "expected"),
    [  # ce, feature, logits, T
        ("ce", (1.0, 0.0, 0.0)),
        ("kd", (0.1, 0.0, 0.9)),
        ("dkd", (1.0, 0.0, 1.0)),
        ("logit_std", (0.1, 0.0, 9.0)),
        ("dist", (1.0, 0.0, 1.0)),
        ("mlld", (0.1, 0.0, 0.9)),
        ("cat_kd", (1.0, 40.0, 0.0)),
        ("crd", (1.0, 0.8, 0.0)),
        ("rkd", (1.0, 25.0, 0.0)),
        ("sp", (1.0, 3000.0, 0.0)),
        ("at", (1.0, 500.0, 0.0)),
        ("fitnet", (1.0, 100.0, 0.0)),
        ("reviewkd", (1.0, 1.0, 0.0)),
    ],
)
def test_method_alone_has_its_own_losses_and_weights(method: str, expected: tuple[float, float, float]) -> None:
    losses = resolve_losses(distill(method=method, balance="none"))
    assert (losses.ce.weight, losses.feature.weight, losses.logits.weight) == expected
    assert losses.contrast.weight == 0
    assert losses.logits.temperature == (METHODS[method].logits_temperature or 4.0)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "tmkd"])
def test_method_alone_ignores_losses_it_does_not_have(method: str) -> None:
    losses = resolve_losses(distill(method=method, feature={"weight": 3.0}, logits={"weight": 2.0}))
    assert losses.feature.weight == (3.0 if "feature" in METHODS[method].losses else 0)
    assert losses.logits.weight == (2.0 if "logits" in METHODS[method].losses else 0)


@pytest.mark.parametrize("base", base_methods())
def test_tmkd_takes_its_bases_weights_and_adds_missing_losses(base: str) -> None:
    entry, losses = METHODS[base], resolve_losses(distill(method="tmkd", base=base, balance="none"))
    assert losses.ce.weight == entry.ce_weight
    assert losses.feature.weight == (entry.feature_weight or 0.0)
    assert losses.logits.weight == (entry.logits_weight or 0.9)
    assert losses.logits.temperature == (entry.logits_temperature or 4.0)
    assert losses.contrast.weight == distill().contrast.weight


@pytest.mark.parametrize("method", METHODS)
def test_balanced_weights_are_shares(method: str) -> None:
    losses = resolve_losses(distill(method=method, balance="auto"))
    own = METHODS["cat_kd" if method == "tmkd" else method]
    if method == "ce":
        assert (losses.ce.weight, losses.feature.weight, losses.logits.weight) == (1, 0, 0)
        return
    assert losses.ce.weight == own.ce_share
    assert losses.feature.weight == (own.feature_share if "feature" in own.losses else 0)
    assert losses.logits.weight == (own.logits_share if "logits" in own.losses or method == "tmkd" else 0)
    assert losses.logits.temperature == (own.logits_temperature or 4.0)


def test_feature_loss_is_not_added_to_a_base_of_logits_unasked() -> None:
    assert distill(base="kd").losses.feature.weight == 0
    assert distill(base="kd", feature={"weight": 0.2}).losses.feature.weight == 0.2


def test_recipe_values_take_precedence_even_zeros() -> None:
    losses = resolve_losses(
        distill(
            method="tmkd",
            base="cat_kd",
            ce={"weight": 0.0},
            feature={"weight": 7.0, "pool": 3, "normalise": False, "bank": 9},
            logits={"weight": 0.0, "temperature": 1.5, "target_weight": 0.5, "non_target_weight": 3.0},
            contrast={"weight": 0.3, "temperature": 0.2, "centre": False},
        ),
        label_smoothing=0.1,
    )
    assert (losses.ce.weight, losses.label_smoothing) == (0, 0.1)
    assert (losses.feature.weight, losses.feature.pool, losses.feature.normalise) == (7, 3, False)
    assert losses.feature.bank == 9
    assert (losses.logits.weight, losses.logits.temperature) == (0, 1.5)
    assert (losses.logits.target_weight, losses.logits.non_target_weight) == (0.5, 3)
    assert (losses.contrast.weight, losses.contrast.temperature, losses.contrast.centre) == (0.3, 0.2, False)


def test_all_zero_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="every loss of ce has the weight 0"):
        resolve_losses(distill(ce={"weight": 0.0}).model_copy(update={"method": "ce"}))


@pytest.mark.parametrize(("change", "expected"), [({"method": "kdd"}, "'kdd'"), ({"base": "ce"}, "'ce'")])
def test_unknown_names_are_refused(change: dict[str, str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        resolve_losses(distill().model_copy(update=change))
