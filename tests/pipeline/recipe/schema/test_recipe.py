"""Defaults, bounds, and the checks over several keys."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.distill.registry import METHODS
from pipeline.recipe.schema.recipe import Recipe
from pipeline.tmkd.views.settings import EdgeView, HighFrequencyView


def make(**sections: Any) -> Recipe:
    return Recipe.model_validate(sections)


def message_of(**sections: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        make(**sections)
    return str(caught.value)


def test_every_key_has_a_default() -> None:
    recipe = make()
    assert recipe.data.dataset == "birds_demo"
    assert recipe.distill.method == "tmkd"
    assert recipe.train.epochs == 240
    assert recipe.export.onnx.opset == 20
    assert recipe.gates.min_top1 is None


@pytest.mark.parametrize(("image_size", "resize"), [(32, 32), (64, 64), (95, 95), (96, 110), (224, 256), (384, 439)])
def test_resize_follows_the_image_size(image_size: int, resize: int) -> None:
    assert make(data={"image_size": image_size}).data.resize_to == resize


def test_given_resize_is_used_or_refused() -> None:
    assert make(data={"image_size": 224, "resize": 224}).data.resize_to == 224
    assert "at least @image_size (224), got 200" in message_of(data={"resize": 200})


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (9, 0), (10, 1), (50, 5), (240, 20), (1000, 20)])
def test_losses_warm_up_over_a_tenth_of_the_passes_but_at_most_20(epochs: int, warmup: int) -> None:
    assert make().distill.warmup_epochs(epochs) == warmup
    assert make(train={"epochs": epochs}).resolved()["distill"]["warmup"] == warmup
    assert make(distill={"warmup": 7}).distill.warmup_epochs(epochs) == 7


def test_views_are_default_or_given_by_name() -> None:
    assert make().distill.views == {"edge": EdgeView(), "high_frequency": HighFrequencyView()}
    views = make(distill={"views": {"edge": None, "fine": {"kind": "high_frequency", "cutoff": 0.5}}}).distill.views
    assert views == {"fine": HighFrequencyView(cutoff=0.5)}
    assert make(distill={"views": {}}).distill.views == {}


def test_what_is_left_open_about_views_stays_open_in_the_lock() -> None:
    left_open = {"views": "auto", "weighting": {"temperature": "auto", "standardise": True}}
    recipe = make(distill=left_open)
    lock = recipe.resolved()
    assert lock["distill"]["views"] == "auto" and lock["distill"]["weighting"]["temperature"] == "auto"
    assert Recipe.model_validate(lock).distill == make(**lock).distill
    assert Recipe.model_validate(lock).distill.views == "auto"


def test_a_view_of_its_own_name_needs_no_kind_but_others_do() -> None:
    assert make(distill={"views": {"edge": {"strength": 1}}}).distill.views == {"edge": EdgeView(strength=1)}
    assert "kind" in message_of(distill={"views": {"contour": {"strength": 1}}})


@pytest.mark.parametrize("name", ["rgb", "Edge", "a b", ""])
def test_view_names_are_plain_and_not_rgb(name: str) -> None:
    assert "views" in message_of(distill={"views": {name: {"kind": "edge"}}})


def test_milestones_imply_their_kind() -> None:
    schedule = make(train={"schedule": {"milestones": [150, 180, 210]}}).train.schedule
    assert (schedule.kind, schedule.milestones) == ("milestones", (150, 180, 210))


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"epochs": 100, "schedule": {"milestones": [50, 100]}}, "before the end of @epochs (100), got [100]"),
        ({"schedule": {"milestones": [20, 10]}}, "rising order"),
        ({"schedule": {"milestones": [10, 10]}}, "rising order"),
        ({"schedule": {"kind": "milestones"}}, "at least one"),
        ({"schedule": {"kind": "cosine", "milestones": [10]}}, "none for @kind cosine"),
        ({"epochs": 5, "schedule": {"warmup": 5}}, "fewer epochs than @epochs (5)"),
        ({"schedule": {"kind": "one_cycle", "warmup": 1}}, "0 for @kind one_cycle"),
        ({"nesterov": True, "momentum": 0}, "false where @momentum is 0"),
    ],
)
def test_a_schedule_that_contradicts_itself_is_refused(train: dict[str, Any], words: str) -> None:
    assert words in message_of(train=train)


def test_the_same_schedule_checks_hold_for_the_teachers() -> None:
    assert "@epochs" in message_of(teacher={"visual": {"fit": {"epochs": 5, "schedule": {"milestones": [9]}}}})


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"dataset": "cub200"}}, "the folder of @dataset cub200"),
        ({"data": {"dataset": "folder"}}, "the folder of @dataset folder"),
        ({"data": {"dataset": "cub200", "root": "x", "labels": "labels.csv"}}, "@dataset is cub200, not folder"),
        ({"data": {"augment": {"scale": [0.9, 0.1]}}}, "smaller share first"),
        ({"teacher": {"visual": {"weights": "none"}}}, "where @fit is null"),
        ({"teacher": {"text": {"weights": "fit"}}}, "for @weights fit, got ViT-B-32"),
        ({"teacher": {"text": {"weights": "texts.npz"}}}, "no image tower"),
        (
            {"teacher": {"text": {"weights": "texts.npz"}}, "distill": {"weighting": {"by": "random_prompts"}}},
            "no image tower, got random_prompts",
        ),
        ({"distill": {"method": "ce", "ce": {"weight": 0}}}, "every loss of ce has the weight 0"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(sections: dict[str, Any], words: str) -> None:
    assert words in message_of(**sections)


def test_keys_that_go_together_are_taken() -> None:
    assert make(data={"dataset": "folder", "root": "x", "labels": "labels.csv"}).data.labels == "labels.csv"
    make(teacher={"visual": {"weights": "none", "fit": {}}})
    make(teacher={"text": {"model": "tiny", "weights": "fit"}})
    make(teacher={"text": {"model": "some/clip.json", "weights": "fit"}})
    make(teacher={"text": {"weights": "texts.npz"}}, distill={"weighting": {"by": "teacher_confidence"}})
    assert not make(teacher={"text": {"weights": "texts.npz"}}, distill={"method": "kd"}).teacher.text.has_image_tower


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"epochs": True}},
        {"train": {"epochs": "10"}},
        {"train": {"epochs": 0}},
        {"train": {"lr": float("nan")}},
        {"train": {"lr": float("inf")}},
        {"data": {"validation": 0}},
        {"data": {"workers": -1}},
        {"data": {"root": ""}},
        {"seed": -1},
        {"seed": 2**32},
        {"name": "../up"},
        {"name": "a\n"},
        {"name": ".hidden"},
        {"distill": {"method": "tmk"}},
        {"distill": {"base": "tmkd"}},
        {"distill": {"base": "ce"}},
        {"student": {"weights": "imagnet"}},
        {"teacher": {"text": {"prompts": "bird"}}},
        {"teacher": {"text": {"class_names": "imagnet"}}},
        {"teacher": {"text": {"class_names": ""}}},
        {"export": {"onnx": {"opset": 17}}},
        {"export": {"onnx": {"precision": ["fp16"]}}},
        {"gates": {}},
    ],
)
def test_values_outside_their_bounds_are_refused(sections: dict[str, Any]) -> None:
    assert next(iter(sections)) in message_of(**sections)


@pytest.mark.parametrize("method", METHODS)
def test_resolved_is_complete_and_stays_the_same_when_resolved_again(method: str) -> None:
    resolved = make(distill={"method": method}).resolved()
    assert Recipe.model_validate(resolved).resolved() == resolved
    weights = [resolved["distill"][part]["weight"] for part in ("ce", "feature", "logits", "contrast")]
    assert None not in weights
    assert resolved["data"]["resize"] == 256
    assert "validate" in resolved


def test_resolved_takes_the_weights_of_the_base() -> None:
    distill = make(distill={"base": "kd", "balance": "none"}).resolved()["distill"]
    assert distill["ce"]["weight"] == METHODS["kd"].ce_weight
    assert distill["logits"]["weight"] == METHODS["kd"].logits_weight


def test_a_recipe_never_changes() -> None:
    with pytest.raises(ValidationError):
        make().train.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["cifar100", "stl10", "webdataset", "torchvision:SVHN", "hf:owner/some-set_1.0"])
def test_data_sets_are_accepted_by_name_and_family(name: str) -> None:
    assert make(data={"dataset": name, "root": "x"}).data.dataset == name
    assert "expected the folder of @dataset" in message_of(data={"dataset": name})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:", "expected birds_demo, "),
        ("hf:../x", "or torchvision:<Class>"),
        ("torchvision:CocoDetection", "expected a classification data set of torchvision"),
    ],
)
def test_unknown_data_set_is_refused(name: str, message: str) -> None:
    assert message in message_of(data={"dataset": name, "root": "x"})


def test_presets_follow_from_each_networks_weights() -> None:
    recipe = make(teacher={"visual": {"weights": "imagenet", "fit": {}}}, student={"weights": "none"})
    assert recipe.teacher.visual.fit is not None
    assert (recipe.teacher.visual.fit.preset, recipe.teacher.visual.fit.optimizer) == ("finetune", "adamw")
    assert (recipe.train.preset, recipe.train.optimizer, recipe.train.schedule.kind) == ("scratch", "sgd", "one_cycle")
    recipe = make(
        teacher={"visual": {"weights": "none", "fit": "auto"}}, student={"weights": "net.pth"}, train={"epochs": 9}
    )
    assert recipe.teacher.visual.fit is not None
    assert recipe.teacher.visual.fit.preset == "scratch"
    assert (recipe.train.preset, recipe.train.epochs) == ("finetune", 9)


def test_resolved_recipe_has_the_values_of_the_preset_and_gives_the_same_recipe() -> None:
    recipe = make(student={"weights": "imagenet"}, train="finetune", teacher={"visual": {"fit": {"lr": 0.01}}})
    resolved = recipe.resolved()
    assert resolved["train"]["preset"] == "finetune" and resolved["train"]["head_lr"] == 5
    assert resolved["teacher"]["visual"]["fit"]["preset"] == "none"
    assert make(**resolved).resolved() == resolved
