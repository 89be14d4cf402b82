import subprocess
import sys

import pytest
import torch

from exporters.architectures import CIFAR_NAMES, Architecture, build, parse, resolve
from exporters.architectures.cifar import PaddedShortcut
from exporters.errors import UnavailableError, UsageError

# He et al. 2016, table 6, in millions for 10 classes; the wide ones as the distillation literature counts them for 100.
PUBLISHED = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85, "resnet110": 1.7}
PUBLISHED_WIDE = {"resnet8x4": 1_233_540, "resnet32x4": 7_433_860}


def parameters(name: str, classes: int) -> int:
    return sum(value.numel() for value in build(Architecture(name, "cifar"), classes).parameters())


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_parameter_counts(name: str) -> None:
    assert parameters(name, 10) / 1e6 == pytest.approx(PUBLISHED[name], abs=0.03 if name == "resnet110" else 0.006)


def test_exact_counts() -> None:
    assert parameters("resnet20", 10) == 269_722
    assert parameters("resnet56", 10) == 853_018
    for name, count in PUBLISHED_WIDE.items():
        assert parameters(name, 100) == count


@pytest.mark.parametrize("name", CIFAR_NAMES)
def test_depth_and_shapes(name: str) -> None:
    module = build(Architecture(name, "cifar"), 5).eval()
    layers = [key for key, part in module.named_modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]
    assert sum("shortcut" not in key for key in layers) == int(name.removeprefix("resnet").split("x")[0])
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert module(x).shape == (2, 5)
        assert module.forward_features(x).shape[2:] == (8, 8)


def test_keys_are_those_of_the_shared_checkpoints() -> None:
    keys = list(build(Architecture("resnet20", "cifar"), 10).state_dict())
    assert keys[:2] == ["conv1.weight", "bn1.weight"]
    assert {"layer1.0.conv1.weight", "layer2.0.bn2.running_var", "layer3.2.conv2.weight", "linear.bias"} <= set(keys)
    assert not any("shortcut" in key for key in keys)


def test_option_a_subsamples_and_appends_zeros() -> None:
    x = torch.randn(1, 2, 4, 4)
    y = PaddedShortcut(2, 4, 2)(x)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, 0].any()
    assert not y[:, 3].any()


def test_resolution_order_and_prefixes() -> None:
    assert resolve("mobilenet_v2") == ("torchvision", "mobilenet_v2")
    assert resolve("convnext_atto") == ("timm", "convnext_atto")
    assert resolve("resnet20") == ("cifar", "resnet20")
    assert resolve("timm:resnet18") == ("timm", "resnet18")


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("mobilenet_v22")
    assert "torchvision:mobilenet_v2" in str(caught.value)
    with pytest.raises(UsageError, match="no model named"):
        resolve("cifar:mobilenet_v2")
    with pytest.raises(UsageError, match="list_models"):
        resolve("qqqqqqqqqqqq")


@pytest.mark.parametrize("name", ["", "a b", "../x", "hub:x", ":x", "timm:"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError):
        parse(name)


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        (Architecture("googlenet", "torchvision"), 64),
        (Architecture("squeezenet1_1", "torchvision"), 64),
        (Architecture("mobilenetv3_small_050", "timm", {"drop_rate": 0.1}), 64),
    ],
)
def test_forward_gives_plain_logits_while_training_too(architecture: Architecture, size: int) -> None:
    module = build(architecture, 4).train()
    assert module(torch.randn(2, 3, size, size)).shape == (2, 4)


def test_arguments_that_the_source_does_not_take() -> None:
    for source, name in (("cifar", "resnet8"), ("torchvision", "resnet18"), ("timm", "resnet18")):
        with pytest.raises(UsageError, match="cannot be built"):
            build(Architecture(name, source, {"no_such_argument": 1}), 4)


def test_json() -> None:
    architecture = Architecture("resnet8", "cifar", {"a": 1})
    assert Architecture.from_json(architecture.to_json()) == architecture
    for value in (
        None,
        {},
        {"name": "x", "source": "hub", "arguments": {}},
        {"name": 1, "source": "timm", "arguments": {}},
    ):
        with pytest.raises(UsageError):
            Architecture.from_json(value)


def test_a_missing_source_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnavailableError, match="timm"):
        resolve("timm:resnet18")


def test_checking_a_name_imports_no_torch() -> None:
    code = (
        "import sys; from exporters.architectures import parse, resolve; parse('timm:x'); resolve('cifar:resnet20'); "
    )
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
