"""Presets, head epochs and scaled learning rates of a classifier's training."""

from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.training.settings import FitSettings, NetworkFitSettings


@pytest.mark.parametrize(
    ("pretrained", "preset", "optimizer"), [(True, "finetune", "adamw"), (False, "scratch", "sgd")]
)
def test_auto_follows_from_the_weights(pretrained: bool, preset: str, optimizer: str) -> None:
    chosen = NetworkFitSettings(epochs=30).chosen(pretrained)
    assert (chosen.preset, chosen.optimizer, chosen.epochs) == (preset, optimizer, 30)
    assert chosen.decays_norms_and_biases is not pretrained


@pytest.mark.parametrize(
    "given", [{"optimizer": "sgd"}, {"lr": 0.01}, {"schedule": {"kind": "cosine"}}, {"schedule": {}}]
)
@pytest.mark.parametrize("pretrained", [True, False])
def test_auto_leaves_a_recipe_with_a_schedule_of_its_own_alone(given: dict[str, Any], pretrained: bool) -> None:
    own = NetworkFitSettings.model_validate(given | {"epochs": 7})
    assert own.chosen(pretrained) == own.model_copy(update={"preset": "none"})
    assert {key: value for key, value in own if key in FitSettings.model_fields} == dict(
        FitSettings.model_validate(given | {"epochs": 7})
    )


KEYS = {
    "optimizer": st.sampled_from(["sgd", "adamw"]),
    "lr": st.floats(1e-5, 1.0),
    "momentum": st.sampled_from([0.0, 0.9]),
    "weight_decay": st.floats(0, 0.1),
    "schedule": st.sampled_from(
        [
            {"kind": "constant"},
            {"kind": "one_cycle"},
            {"warmup": 0.5},
            {"gamma": 0.5},
            {"milestones": [2]},
            {"kind": "cosine", "warmup": 0.25},
        ]
    ),
    "label_smoothing": st.just(0.2),
    "head_epochs": st.integers(0, 2),
    "head_lr": st.just(3.0),
    "layer_decay": st.just(0.9),
    "ema": st.sampled_from([None, 0.99]),
    "early_stop": st.just(4),
}


@settings(deadline=None, max_examples=200)
@hypothesis_given(
    given=st.fixed_dictionaries({}, optional=KEYS),
    preset=st.sampled_from(["finetune", "scratch", "auto"]),
    epochs=st.integers(3, 40),
    pretrained=st.booleans(),
)
def test_a_preset_keeps_every_key_that_is_given_and_can_be_read_again(
    given: dict[str, Any], preset: str, epochs: int, pretrained: bool
) -> None:
    chosen = NetworkFitSettings.model_validate(given | {"preset": preset, "epochs": epochs}).chosen(pretrained)
    for key, value in given.items():
        if key == "schedule":
            assert {name: getattr(chosen.schedule, name) for name in value} == {
                name: tuple(found) if isinstance(found, list) else found for name, found in value.items()
            }
        else:
            assert getattr(chosen, key) == value, key
    again = NetworkFitSettings.model_validate(chosen.model_dump(mode="json"))
    assert again == chosen
    assert again.chosen(not pretrained) == chosen


def test_a_text_is_a_preset() -> None:
    assert NetworkFitSettings.model_validate("finetune") == NetworkFitSettings(preset="finetune")
    with pytest.raises(ValidationError, match="expected auto, finetune, scratch, none or a section of keys"):
        NetworkFitSettings.model_validate("finetunes")


def test_head_epochs_leave_epochs_for_the_whole_network() -> None:
    assert NetworkFitSettings(epochs=3, head_epochs=2).body_starts == 2
    with pytest.raises(ValidationError, match="fewer than @epochs"):
        NetworkFitSettings(epochs=3, head_epochs=3)


@hypothesis_given(
    lr=st.floats(1e-5, 1.0),
    batch=st.integers(1, 4096),
    accumulate=st.integers(1, 64),
    optimizer=st.sampled_from(["sgd", "adamw"]),
)
def test_rate_is_scaled_with_the_images_of_a_step(lr: float, batch: int, accumulate: int, optimizer: str) -> None:
    values: Any = {"lr": lr, "batch_size": batch, "accumulate": accumulate, "optimizer": optimizer}
    assert NetworkFitSettings(**values).peak_lr == lr
    scaled = NetworkFitSettings(**values, scale_lr=True).peak_lr
    growth = (scaled / lr) ** (2 if optimizer == "adamw" else 1)
    assert growth == pytest.approx(batch * accumulate / 256)


def test_rate_of_a_preset_is_not_scaled_twice() -> None:
    chosen = NetworkFitSettings(preset="scratch", batch_size=128, accumulate=2, scale_lr=True).chosen(pretrained=False)
    assert chosen.peak_lr == chosen.lr == pytest.approx(0.05 * 4) and not chosen.scale_lr
    own = NetworkFitSettings(preset="scratch", batch_size=128, lr=0.1, scale_lr=True).chosen(pretrained=False)
    assert own.peak_lr == pytest.approx(0.05) and own.scale_lr
    again = NetworkFitSettings.model_validate(own.model_dump()).chosen(pretrained=False)  # as from recipe.lock.yaml
    assert again == own
