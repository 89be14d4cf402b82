from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.distill.settings import DistillSettings
from pipeline.tmkd.views.candidates import CANDIDATES
from pipeline.tmkd.views.settings import default_views


def distill(**values: Any) -> DistillSettings:
    return DistillSettings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"feature": {"weight": 40.0}}, "feature"),
        ({"base": "kd", "logits": {"weight": 10.5}}, "logits"),
        ({"contrast": {"weight": 11.0}}, "contrast"),
    ],
)
def test_published_weights_are_refused_as_shares(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match="expected a share of at most 10 with @balance auto") as caught:
        distill(**values)
    assert caught.value.errors()[0]["ctx"]["at"] == f"{key}.weight"
    assert getattr(distill(balance="none", **values), key).weight > 10


def test_large_weight_of_an_unused_loss_is_ignored() -> None:
    assert distill(method="kd", feature={"weight": 600.0}).losses.feature.weight == 0


def test_auto_gives_the_recipes_weights_to_its_base_and_papers_weights_to_others() -> None:
    settings = distill(
        method="auto",
        base="kd",
        ce={"weight": 0.5},
        logits={"weight": 0.5, "temperature": 2.0},
        contrast={"weight": 0.3},
    )
    of = {each.name: settings.of(each) for each in settings.candidates}
    for name in ("kd", "tmkd on kd"):
        assert (of[name].losses.ce.weight, of[name].losses.logits.weight) == (0.5, 0.5)
        assert of[name].losses.logits.temperature == 2.0
    assert of["tmkd on kd"].losses.contrast.weight == 0.3
    for name in ("ce", "dkd", "tmkd on dkd", "cat_kd", "logit_std"):
        alone = DistillSettings(method=of[name].method, base=of[name].base, contrast=settings.contrast)
        assert of[name].losses == alone.losses


def test_method_that_is_given_is_its_only_candidate_and_unchanged() -> None:
    for settings in (distill(method="tmkd", base="crd"), distill(method="kd", logits={"weight": 2.0})):
        (only,) = settings.candidates
        assert settings.of(only) is settings and settings.may_use_tmkd is (settings.method == "tmkd")


def test_plain_training_races_whether_it_is_named_or_not() -> None:
    for names in (["kd"], ["kd", "ce"], ["ce", "kd"]):
        assert [each.name for each in distill(method="auto", auto={"candidates": names}).candidates] == ["ce", "kd"]
    assert not distill(method="auto", auto={"candidates": ["kd"]}).may_use_tmkd
    assert distill(method="auto").may_use_tmkd


def test_auto_candidate_without_any_loss_is_refused() -> None:
    with pytest.raises(ValidationError, match="weight 0"):
        distill(method="auto", base="kd", ce={"weight": 0.0}, logits={"weight": 0.0})


def test_views_left_open_may_be_any_candidate() -> None:
    assert distill(views="auto").possible_views == CANDIDATES
    assert distill().possible_views == default_views()
    assert distill(views={}).possible_views == {}


@pytest.mark.parametrize(
    ("values", "fitted"),
    [
        ({}, False),
        ({"views": "auto"}, True),
        ({"weighting": {"temperature": "auto"}}, True),
        ({"weighting": {"standardise": True}}, True),
        ({"views": "auto", "method": "kd"}, False),
        ({"views": {}, "weighting": {"temperature": "auto"}}, False),  # of one view there is nothing to weigh
    ],
    ids=str,
)
def test_fusion_decides_where_something_is_left_open_and_views_are_used(values: dict[str, Any], fitted: bool) -> None:
    assert distill(**values).is_fitted is fitted
