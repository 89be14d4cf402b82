import argparse
import hashlib
from pathlib import Path

import pytest
import torch

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.student.architectures import Architecture, build
from pipeline.models.build import Model, build_model
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD


def make(model: str = "cifar:resnet8", weights: str = "none", **changes: object) -> Model:
    settings = {"seed": 0, "purpose": "student", "replace_head": True, "arguments": {}, "image_size": 32} | changes
    return build_model(model, settings.pop("arguments"), weights, 5, settings.pop("image_size"), **settings)


def test_network_from_scratch_has_imagenet_normalisation():
    model = make()
    assert (model.architecture.source, model.architecture.name) == ("cifar", "resnet8")
    assert model.weights is None
    assert (model.mean, model.std) == (IMAGENET_MEAN, IMAGENET_STD)
    torch.testing.assert_close(model.tapped.mean.flatten(), torch.tensor(IMAGENET_MEAN))
    torch.testing.assert_close(model.tapped.std.flatten(), torch.tensor(IMAGENET_STD))
    assert model.tapped.shape.classes == 5
    assert model.tapped.shape.map_size == (8, 8)
    assert model.tapped(torch.rand(2, 3, 32, 32)).logits.shape == (2, 5)


def test_the_initialisation_follows_from_seed_and_purpose_alone():
    def weight(**settings: object) -> torch.Tensor:
        return make(**settings).tapped.network.conv1.weight.detach()

    torch.manual_seed(1)
    first, state = weight(), torch.get_rng_state()
    torch.manual_seed(2)
    torch.rand(10)
    assert torch.equal(weight(), first)
    assert not torch.equal(weight(seed=1), first)
    assert not torch.equal(weight(purpose="teacher.visual"), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # building drew nothing from the global stream


def test_weights_are_loaded(tmp_path: Path):
    other = make(seed=5)
    torch.save(other.tapped.network.state_dict(), tmp_path / "net.pt")
    model = make(weights=str(tmp_path / "net.pt"), replace_head=False)
    assert model.weights is not None
    assert model.weights.source == "net.pt"
    assert torch.equal(model.tapped.network.conv1.weight, other.tapped.network.conv1.weight)


def test_given_normalization_overrides_that_of_the_weights(tmp_path: Path):
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    torch.save(make().tapped.network.state_dict(), tmp_path / "net.pt")
    for weights in ("none", str(tmp_path / "net.pt")):
        plain, own = make(weights=weights), make(weights=weights, mean=mean, std=std)
        assert (plain.mean, plain.std) == (IMAGENET_MEAN, IMAGENET_STD)
        assert (own.mean, own.std) == (mean, std)
        images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        normalised = (images.double() - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        with torch.no_grad():
            expected = own.tapped.eval().network(normalised.float())
            torch.testing.assert_close(own.tapped(images).logits, expected)
            assert not torch.allclose(plain.tapped.eval()(images).logits, expected)


def test_file_with_another_hash_is_refused(tmp_path: Path):
    torch.save(make().tapped.network.state_dict(), tmp_path / "net.pt")
    found = hashlib.sha256((tmp_path / "net.pt").read_bytes()).hexdigest()
    model = make(weights=str(tmp_path / "net.pt"), sha256=found.upper())
    assert model.weights is not None and model.weights.sha256 == found
    (tmp_path / "net.pt").write_bytes(b"no checkpoint at all")  # it is not even opened
    with pytest.raises(UnavailableError, match=f"student: .*net.pt.*expected sha256 {found}, found "):
        make(weights=str(tmp_path / "net.pt"), sha256=found)


def test_chosen_weights_are_reported(tmp_path: Path):
    plain, averaged = make(seed=5).tapped.network, make(seed=6).tapped.network
    path = tmp_path / "net.pth.tar"
    torch.save({"model": plain.state_dict(), "model_ema": averaged.state_dict()}, path)
    model = make(weights=str(path))
    assert torch.equal(model.tapped.network.conv1.weight, plain.conv1.weight)
    assert model.notes == (
        "student: net.pth.tar holds 2 sets of weights; model was taken. The others: model_ema;"
        " student.weights_key chooses.",
    )
    model = make(weights=str(path), weights_key="model_ema")
    assert torch.equal(model.tapped.network.conv1.weight, averaged.conv1.weight)


@pytest.mark.parametrize("classes", [5, 9])
def test_foreign_keys_are_mapped_and_reported(classes: int, tmp_path: Path):
    torch.manual_seed(7)
    own = build(Architecture("resnet8", "cifar"), classes).state_dict()
    state = {f"_{key}": value for key, value in own.items() if not key.endswith("num_batches_tracked")}
    torch.save({"state_dict": state}, tmp_path / "foreign.pth")
    model = make(weights=str(tmp_path / "foreign.pth"))
    assert torch.equal(model.tapped.network.conv1.weight, own["conv1.weight"])
    assert model.weights is not None and model.weights.mapped == len(state)
    assert model.weights.head_replaced is (classes == 9)
    (note,) = model.notes
    assert "_conv1.weight is conv1.weight" in note and "only the accuracy on images proves it" in note


def test_normalisation_saved_by_a_training_script_is_used(tmp_path: Path):
    kept = argparse.Namespace(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    torch.save({"state_dict": make().tapped.network.state_dict(), "args": kept}, tmp_path / "net.pth")
    model = make(weights=str(tmp_path / "net.pth"))
    assert (model.mean, model.std) == (kept.mean, kept.std)
    assert model.notes == ("student: mean and std: as the training script kept them in net.pth",)


def test_arguments_reach_the_architecture():
    model = make("timm:vit_tiny_patch16_224", arguments={"img_size": 32, "depth": 1})
    assert model.architecture.arguments == {"img_size": 32, "depth": 1}
    assert len(model.tapped.network.blocks) == 1


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        ({"model": "resnet19"}, UsageError, "resnet19"),
        ({"model": "cifar:resnet8", "arguments": {"width": 3}}, UsageError, "width"),
        ({"weights": "absent.pt"}, UnavailableError, "absent.pt"),
        ({"weights": "imagenet"}, UnavailableError, "resnet8"),
        ({"model": "timm:vit_tiny_patch16_224", "arguments": {"depth": 1}}, UsageError, "32 × 32"),
        ({"model": "torchvision:inception_v3"}, UsageError, "32 × 32"),
        ({"model": "torchvision:alexnet"}, UsageError, "32 × 32"),
        ({"model": "timm:test_resnet", "arguments": {"in_chans": 1}}, UsageError, "1 channel, not of 3"),
        ({"model": "timm:test_resnet", "arguments": {"features_only": True}}, UsageError, "gives a list of 5"),
        ({"model": "timm:test_vit", "arguments": {"depth": "x"}}, UsageError, "cannot be built"),
        (
            {"model": "torchvision:googlenet", "arguments": {"aux_logits": True}, "image_size": 64},
            UsageError,
            "in training, the network gives a GoogLeNetOutputs",
        ),
        ({"classifier": "fc"}, UsageError, "'fc' is not the network's classifier"),
    ],
)
def test_messages_name_the_section_of_the_recipe(changes: dict, error: type[TmkdError], expected: str):
    assert make(classifier="linear").tapped.shape.has_cam
    with pytest.raises(error) as caught:
        make(purpose="teacher.visual", **changes)
    assert caught.value.message.startswith("teacher.visual")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("teacher.visual")
