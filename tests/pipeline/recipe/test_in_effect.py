"""The rules themselves; what each key changes is in `tests/pipeline/stages/test_changed_keys.py`."""

from typing import Any

import pytest

from pipeline.recipe import in_effect, load_recipe
from pipeline.recipe.in_effect import rules, settings_in_effect
from pipeline.recipe.schema.recipe import Recipe
from tests.docs.test_recipe_reference import LEAVES


def of(**sections: Any) -> dict[str, Any]:
    return settings_in_effect(Recipe.model_validate(sections))


@pytest.mark.parametrize("method", ["ce", "kd", "tmkd", "auto"])
def test_every_rule_names_a_key_or_a_section_of_the_schema(method: str) -> None:
    recipe = load_recipe("quickstart", [f"distill.method={method}"]).recipe
    for rule in rules(recipe):
        assert any(key == rule or key.startswith(f"{rule}.") for key in LEAVES), rule


def test_precision_that_a_cpu_has_anyway_is_the_automatic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda in (False, True):
        monkeypatch.setattr(in_effect, "may_be_cuda", lambda recipe, cuda=cuda: cuda)
        assert of(train={"precision": "auto"})["train.precision"] == "auto"
        assert of(train={"precision": "bf16"})["train.precision"] == "bf16"
        assert of(train={"precision": "fp32"})["train.precision"] == ("fp32" if cuda else "auto")


def test_learning_rate_is_the_one_that_the_optimizer_gets() -> None:
    found = of(train={"lr": 0.1, "optimizer": "sgd", "batch_size": 512, "scale_lr": True})
    assert found["train.lr"] == pytest.approx(0.2) and found["train.scale_lr"] is False


@pytest.mark.parametrize(("epochs", "stop", "there"), [(5, 3, True), (5, 4, False), (5, 9, False), (1, 1, False)])
def test_early_stop_counts_only_where_an_epoch_is_left_to_save(epochs: int, stop: int, there: bool) -> None:
    """The first epoch is the best at the earliest, and a stop after the last one is none."""
    assert ("train.early_stop" in of(train={"epochs": epochs, "early_stop": stop})) is there


def test_cross_entropy_of_weight_0_is_still_the_unit_of_balanced_losses() -> None:
    taught = {"method": "kd", "ce": {"weight": 0.0}}
    assert "train.label_smoothing" in of(distill=taught)
    assert "train.label_smoothing" not in of(distill={**taught, "balance": "none"})


def test_race_has_a_cache_of_its_own() -> None:
    assert "distill.teacher_cache.storage" in of(distill={"method": "auto"})
    assert "distill.teacher_cache.storage" not in of(distill={"method": "kd"})


def test_nothing_of_a_plain_recipe_is_left_out_that_it_follows_from() -> None:
    found = of(distill={"method": "ce"})
    assert not [key for key in found if key.startswith(("teacher.", "distill.views", "distill.logits"))]
    assert {"seed", "distill.method", "distill.ce.weight", "student.model", "train.lr", "data.image_size"} <= set(found)


def test_histograms_that_are_off_are_no_setting_of_any_stage() -> None:
    assert of()["bundle.drift"] is True
    assert {"bundle.drift": True, **of(bundle={"drift": False})} == of()
    assert "bundle.drift" not in of(bundle={"drift": False})


def test_maps_that_are_off_are_no_setting_of_any_stage() -> None:
    """So that a run and its bundle are what they were before there was the key."""
    assert "export.onnx.cam" not in of(export={"onnx": {"cam": False}})
    assert of(export={"onnx": {"cam": False}}) == of()
    assert of(export={"onnx": {"cam": True}})["export.onnx.cam"] is True
