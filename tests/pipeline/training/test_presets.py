import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.presets import describe_preset, describe_scaling, preset_values
from pipeline.training.settings import NetworkFitSettings

KEYS = set(NetworkFitSettings.model_fields) - {"preset", "epochs", "batch_size"}


@settings(deadline=None, max_examples=100)
@given(
    preset=st.sampled_from(["finetune", "scratch"]),
    epochs=st.integers(1, 300),
    batch_size=st.integers(1, 4096),
    optimizer=st.sampled_from([None, "sgd", "adamw"]),
)
def test_every_preset_is_a_valid_schedule(preset, epochs, batch_size, optimizer):
    values = preset_values(preset, epochs, batch_size, optimizer)
    assert set(values) <= KEYS
    made = NetworkFitSettings(**values, epochs=epochs, batch_size=batch_size)
    assert made.lr <= 1
    assert made.optimizer == (optimizer or {"finetune": "adamw", "scratch": "sgd"}[preset])
    # A rate of SGD would destroy a network under AdamW.
    assert made.lr < 0.02 or made.optimizer == "sgd" or batch_size > 1024


def test_the_rate_follows_the_batch_size():
    def rate(preset, batch_size):
        return preset_values(preset, 30, batch_size, None)["lr"]

    assert rate("finetune", 256) == pytest.approx(2 * rate("finetune", 64))
    assert rate("finetune", 32) == pytest.approx(rate("finetune", 64) / math.sqrt(2), rel=1e-2)
    assert rate("scratch", 256) == pytest.approx(4 * rate("scratch", 64))


@pytest.mark.parametrize(
    ("model", "by_layers"),
    [
        ("timm:vit_tiny_patch16_224", True),
        ("vit_b_16", True),
        ("convnext_tiny", True),
        ("swin_tiny_patch4_window7_224", True),
        ("resnet18", False),
        ("timm:tf_efficientnet_lite0", False),
        ("mobilevit_xxs", False),
        ("cifar:resnet20", False),
        ("", False),
    ],
)
def test_networks_with_layer_norms_are_finetuned_gently(model: str, by_layers: bool):
    values = preset_values("finetune", 30, 64, None, model)
    assert (values["lr"], values["layer_decay"]) == ((1e-4, 0.75) if by_layers else (1e-3, 1.0))
    assert preset_values("scratch", 30, 64, None, model) == preset_values("scratch", 30, 64, None)


def test_a_single_epoch_trains_the_whole_network():
    assert preset_values("finetune", 1, 64, None)["head_epochs"] == 0


def test_a_preset_is_described_in_one_line():
    made = NetworkFitSettings(preset="finetune", epochs=6).chosen(pretrained=True)
    text = describe_preset(made)
    assert text.startswith("preset finetune: adamw, lr 0.001, 5 times that for the classifier, ")
    assert (
        "first the classifier alone (1 epoch), cosine schedule after a warm-up of 0.6 epochs, weight decay 0.05" in text
    )
    assert "\n" not in text
    assert describe_preset(NetworkFitSettings(preset="none")) == ""
    scratch = describe_preset(NetworkFitSettings().chosen(pretrained=False))
    assert scratch == "preset scratch: sgd, lr 0.05, one_cycle schedule, weight decay 0.0005"


def test_a_scaled_rate_is_told():
    values = {"lr": 0.1, "batch_size": 64, "accumulate": 8}
    assert describe_scaling(NetworkFitSettings(**values)) == ""
    assert describe_scaling(NetworkFitSettings(**values, scale_lr=True)) == (
        "learning rate 0.2 for 512 images a step, scaled in proportion from 0.1 for 256"
    )
    assert "0.1414 for 512 images a step, scaled by the square root" in describe_scaling(
        NetworkFitSettings(**values, scale_lr=True, optimizer="adamw")
    )
