import os
from collections import OrderedDict
from pathlib import Path
from urllib.error import URLError

import huggingface_hub
import numpy as np
import pytest
import timm.models._builder
import torch
import torchvision.models._api
from safetensors.torch import save_file
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.core.files import sha256_file
from exporters.student.architectures import Architecture, build
from exporters.student.checkpoint_file import read_weights_file
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD, load_weights

RESNET8 = Architecture("resnet8", "cifar")


def make(architecture: Architecture = RESNET8, classes: int = 5, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(architecture, classes)


def state_of(classes: int = 5) -> dict[str, Tensor]:
    """A state that differs from a fresh net in every key."""
    state = make(classes=classes, seed=9).state_dict()
    return {key: value + 1 for key, value in state.items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def refusal(path: Path, network: nn.Module | None = None, *, replace_head: bool = False) -> str:
    network = network if network is not None else make()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UnavailableError) as caught:
        load_weights(network, RESNET8, str(path), replace_head=replace_head)
    assert same(dict(network.state_dict()), before)  # a refused file leaves the network alone
    assert path.name in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return OrderedDict((prefix + key, value) for key, value in state.items())


@pytest.mark.parametrize(
    "form",
    ["raw", "module", "state_dict", "compiled", "nested", "with more", "safetensors", "half the dtype", "old format"],
)
def test_every_checkpoint_form_is_loaded(form: str, tmp_path: Path):
    state = state_of()
    path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pth")
    if form == "raw":
        torch.save(state, path)
    elif form == "module":
        torch.save(prefixed(state, "module."), path)
    elif form == "state_dict":
        torch.save({"state_dict": prefixed(state, "module."), "epoch": 200}, path)
    elif form == "compiled":
        torch.save(prefixed(state, "_orig_mod.module."), path)
    elif form == "nested":
        torch.save({"model": {"state_dict": prefixed(state, "module.model.")}}, path)
    elif form == "with more":
        torch.save({"net": state, "acc": 93.1, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}, path)
    elif form == "safetensors":
        save_file(state, path)
    elif form == "half the dtype":
        torch.save({key: value.half() if value.is_floating_point() else value for key, value in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=False)
    network = make()
    loaded = load_weights(network, RESNET8, str(path), replace_head=False)
    if form == "half the dtype":
        for key, value in network.state_dict().items():
            assert value.dtype == state[key].dtype
            torch.testing.assert_close(value, state[key], rtol=1e-3, atol=1e-3)
    else:
        assert same(dict(network.state_dict()), state)
    assert (loaded.source, loaded.sha256) == (path.name, sha256_file(path))
    assert (loaded.mean, loaded.std, loaded.head_replaced) == (IMAGENET_MEAN, IMAGENET_STD, False)


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(state_of(), tmp_path / "net.pt")
    network = make()
    load_weights(network, RESNET8, "~/net.pt", replace_head=False)
    assert same(dict(network.state_dict()), state_of())


def test_counters_of_batch_norm_may_be_missing(tmp_path: Path):
    # Files from before PyTorch 0.4.1 have none.
    state = {key: value for key, value in state_of().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "net.pt")
    network = make()
    load_weights(network, RESNET8, str(tmp_path / "net.pt"), replace_head=False)
    assert torch.equal(network.state_dict()["layer1.0.bn1.running_mean"], state["layer1.0.bn1.running_mean"])


@pytest.mark.parametrize("length", [8, 12, 64])
def test_a_hash_in_the_name_is_checked(length: int, tmp_path: Path):
    plain = tmp_path / "net.pt"
    torch.save(state_of(), plain)
    digest = sha256_file(plain)
    right = tmp_path / f"resnet8-{digest[:length]}.pt"
    wrong = tmp_path / f"resnet8-{('0' if digest[0] != '0' else '1') + digest[1 : length - 1] + 'a'}.pt"
    for path in (right, wrong):
        path.write_bytes(plain.read_bytes())
    assert same(read_weights_file(right).state, state_of())
    assert "does not match the hash in its name" in refusal(wrong)


@pytest.mark.parametrize("name", ["best-20260324.pt", "checkpoint-00012345.pt", "teacher-cafe.pt", "net-deadbeefx.pt"])
def test_dates_steps_and_words_are_not_taken_for_hashes(name: str, tmp_path: Path):
    torch.save(state_of(), tmp_path / name)
    assert same(read_weights_file(tmp_path / name).state, state_of())


def test_first_five_unexpected_keys_are_named(tmp_path: Path):
    path = tmp_path / "net.pt"
    state = state_of()
    missing = [key for key in state if key.endswith("conv1.weight")][:3]
    changed = {key: value for key, value in state.items() if key not in missing}
    torch.save(changed | {"extra.a": torch.zeros(1), "layer9.bias": torch.zeros(2), "more": torch.zeros(1)}, path)
    message = refusal(path)
    for key in missing:
        assert f"missing {key}" in message
    assert "unexpected extra.a" in message
    assert "unexpected layer9.bias" in message
    assert "unexpected more" not in message
    assert "and 1 more" in message


def test_mismatched_shapes_are_named(tmp_path: Path):
    path = tmp_path / "net.pt"
    torch.save(state_of(classes=8), path)
    message = refusal(path)
    assert "linear.weight has shape [8, 64], not [5, 64]" in message
    assert "linear.bias has shape [8], not [5]" in message
    assert "fit" in message


def test_a_head_for_other_classes_is_replaced_where_it_will_be_trained(tmp_path: Path):
    path = tmp_path / "net.pt"
    torch.save(state_of(classes=8), path)
    network, fresh = make(), make().state_dict()
    loaded = load_weights(network, RESNET8, str(path), replace_head=True)
    assert loaded.head_replaced
    for key, value in network.state_dict().items():
        expected = fresh[key] if key.startswith("linear.") else state_of(classes=8)[key]
        assert torch.equal(value, expected), key


def test_a_head_that_fits_is_kept(tmp_path: Path):
    path = tmp_path / "net.pt"
    torch.save(state_of(), path)
    network = make()
    assert not load_weights(network, RESNET8, str(path), replace_head=True).head_replaced
    assert same(dict(network.state_dict()), state_of())


@pytest.mark.parametrize("change", ["another layer", "other features", "a norm", "missing head", "transposed"])
def test_only_a_head_is_replaced(change: str, tmp_path: Path):
    path = tmp_path / "net.pt"
    state = state_of(classes=8)
    if change == "another layer":
        state["conv1.weight"] = torch.zeros(32, 3, 3, 3)
    elif change == "other features":
        state["linear.weight"] = torch.zeros(8, 128)
    elif change == "a norm":
        state = state_of() | {"bn1.weight": torch.zeros(3)}
    elif change == "missing head":
        del state["linear.weight"]
    else:
        state["linear.weight"] = torch.zeros(64, 8)
    torch.save(state, path)
    refusal(path, replace_head=True)


def test_a_convolutional_head_is_replaced(tmp_path: Path):
    architecture = Architecture("squeezenet1_1", "torchvision")
    path = tmp_path / "net.pt"
    torch.save(make(architecture, classes=9).state_dict(), path)
    assert load_weights(make(architecture), architecture, str(path), replace_head=True).head_replaced


class Planted:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_pickled_object_is_refused_and_never_run(old_format: bool, tmp_path: Path):
    path, trace = tmp_path / "net.pt", tmp_path / "trace"
    torch.save({"state_dict": state_of(), "hook": Planted(trace)}, path, _use_new_zipfile_serialization=not old_format)
    message = refusal(path)
    assert "objects that are no tensors" in message
    assert "weights_only" not in message  # PyTorch's advice to switch the protection off
    assert not trace.exists()


@pytest.mark.parametrize("content", ["empty", "text", "half", "list", "numbers", "nothing", "keys", "numpy"])
def test_files_without_a_checkpoint_are_refused(content: str, tmp_path: Path):
    path = tmp_path / "net.pt"
    if content == "empty":
        path.write_bytes(b"")
    elif content == "text":
        path.write_text("not a checkpoint")
    elif content == "half":
        torch.save(state_of(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "list":
        torch.save([torch.zeros(3)], path)
    elif content == "numbers":
        torch.save({"epoch": 3, "acc": 0.9}, path)
    elif content == "nothing":
        torch.save({}, path)
    elif content == "keys":
        torch.save({0: torch.zeros(3)}, path)
    else:
        np.savez(path.with_suffix(".npz"), weight=np.zeros(3))
        path.write_bytes(path.with_suffix(".npz").read_bytes())
    refusal(path)


def test_damaged_safetensors_file_is_refused(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    save_file(state_of(), path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in refusal(path)


def test_missing_file_is_refused(tmp_path: Path):
    assert "no such weights file" in refusal(tmp_path / "absent.pt")


def offline(*_arguments: object, **_settings: object) -> None:
    raise URLError("no route to host")


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet10t", "timm:vit_tiny_patch16_224"])
def test_imagenet_weights_without_internet_are_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    source, bare = name.split(":")
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", offline)
    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", offline)
    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_url", offline)
    architecture = Architecture(bare, source)
    with pytest.raises(UnavailableError) as caught:
        load_weights(make(architecture), architecture, "imagenet", replace_head=True)
    assert caught.value.exit_code == 4
    assert bare in caught.value.message
    assert "no route to host" in caught.value.message
    assert "path/to/file.pth" in str(caught.value.remedy)


@pytest.mark.parametrize("architecture", [RESNET8, Architecture("test_resnet_not_trained", "timm")])
def test_networks_without_imagenet_weights_are_refused(architecture: Architecture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timm.models, "is_model_pretrained", lambda _name: False)
    with pytest.raises(UnavailableError, match=architecture.name) as caught:
        load_weights(make(), architecture, "imagenet", replace_head=True)
    assert "none" in str(caught.value.remedy)


def test_torchvision_imagenet_weights_load_with_another_head(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    architecture = Architecture("resnet18", "torchvision")
    published = make(architecture, classes=1000, seed=4).state_dict()
    asked: list[tuple[str, bool]] = []

    def local(url: str, *, check_hash: bool, progress: bool) -> dict[str, Tensor]:
        asked.append((url, check_hash))
        return published

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", local)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"what was fetched")
    network = make(architecture, classes=5)
    head = network.fc.weight.detach().clone()
    loaded = load_weights(network, architecture, "imagenet", replace_head=True)
    assert len(asked) == 1
    assert asked[0][1]  # the download is checked against its hash
    assert loaded.source == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert (loaded.mean, loaded.std, loaded.head_replaced) == (IMAGENET_MEAN, IMAGENET_STD, True)
    assert loaded.sha256 == sha256_file(cached)
    assert torch.equal(network.fc.weight, head)
    assert torch.equal(network.layer4[1].conv2.weight, published["layer4.1.conv2.weight"])
    with pytest.raises(UnavailableError, match=r"fc\.weight"):
        load_weights(make(architecture, classes=5), architecture, "imagenet", replace_head=False)
    full = make(architecture, classes=1000)
    assert not load_weights(full, architecture, "imagenet", replace_head=False).head_replaced
    assert torch.equal(full.fc.weight, published["fc.weight"])


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", None])
def test_imagenet_of_timm_has_its_own_normalisation(name: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    architecture = Architecture("vit_tiny_patch16_224", "timm", {"img_size": 32})
    published = make(Architecture("vit_tiny_patch16_224", "timm"), classes=21843, seed=4).state_dict()
    published = {key: value for key, value in published.items() if not key.startswith("head")}
    published |= {"head.weight": torch.ones(1000, 192), "head.bias": torch.ones(1000)}
    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", lambda *_args, **_settings: dict(published))
    (tmp_path / "cached").write_bytes(b"what was fetched")
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda repository, asked, revision: (
            str(tmp_path / "cached") if asked == name and repository.startswith("timm/vit_tiny") else None
        ),
    )
    network = make(architecture)
    loaded = load_weights(network, architecture, "imagenet", replace_head=True)
    assert loaded.sha256 == (sha256_file(tmp_path / "cached") if name else None)
    assert loaded.source.startswith("timm timm/vit_tiny_patch16_224")
    assert (loaded.mean, loaded.std, loaded.head_replaced) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), True)
    assert torch.equal(network.blocks[0].attn.qkv.weight, published["blocks.0.attn.qkv.weight"])
    assert network.pos_embed.shape == (1, 5, 192)
    assert network.head.weight.shape == (5, 192)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("classes", [5, 1000])
def test_inception_auxiliary_heads_are_dropped(
    name: str, classes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """torchvision's weights have these heads, and expect inputs normalised with mean and std 0.5."""
    import torchvision

    torch.manual_seed(4)
    size = 80 if name == "inception_v3" else 64
    whole = torchvision.models.get_model(name, weights=None, init_weights=False, transform_input=True).eval()
    state = whole.state_dict()
    assert any(key.lower().startswith("aux") for key in state)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_args, **_settings: dict(state))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    architecture = Architecture(name, "torchvision")
    network = make(architecture, classes=classes).eval()
    loaded = load_weights(network, architecture, "imagenet", replace_head=True)
    assert loaded.head_replaced is (classes == 5)
    assert loaded.mean == loaded.std == (0.5, 0.5, 0.5)
    images = torch.rand(2, 3, size, size)

    def scaled(mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    features: list[Tensor] = []
    for net in (network, whole):
        net.fc.register_forward_pre_hook(lambda _module, inputs: features.append(inputs[0]))
    with torch.no_grad():
        network(scaled(loaded.mean, loaded.std))
        whole(scaled(IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(features[0], features[1], rtol=1e-3, atol=1e-4)

    path = tmp_path / "net.pth"
    torch.save(state, path)
    from_file = make(architecture, classes=classes)
    assert load_weights(from_file, architecture, str(path), replace_head=True).head_replaced is (classes == 5)
    assert torch.equal(next(iter(from_file.parameters())), next(iter(whole.parameters())))


def test_unexpected_keys_of_other_networks_are_refused(tmp_path: Path):
    path = tmp_path / "net.pt"
    torch.save(state_of() | {"aux1.fc1.weight": torch.zeros(1)}, path)
    assert "unexpected aux1.fc1.weight" in refusal(path)
