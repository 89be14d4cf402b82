import subprocess
import sys

import pytest
import torch

from exporters.core.errors import UnavailableError, UsageError
from exporters.student.architectures import Architecture, build, parse, resolve


def test_names_resolve_in_order_unless_prefixed() -> None:
    assert resolve("mobilenet_v2") == ("torchvision", "mobilenet_v2")
    assert resolve("convnext_atto") == ("timm", "convnext_atto")
    for name in ("resnet20", "wrn-16-2", "wrn-40-1", "wrn-40-2", "vgg8", "shufflenet_v1", "shufflenet_v2"):
        assert resolve(name) == ("cifar", name)
    assert resolve("vgg13") == ("torchvision", "vgg13")
    for name in ("vgg13", "mobilenet_v2"):
        assert resolve(f"cifar:{name}") == ("cifar", name)
    assert resolve("timm:resnet18") == ("timm", "resnet18")


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("mobilenet_v22")
    assert "Nearest: mobilenet_v2," in str(caught.value)
    with pytest.raises(UsageError, match="no model named"):
        resolve("cifar:mobilenet_v3_small")
    with pytest.raises(UsageError, match="models search"):
        resolve("qqqqqqqqqqqq")


@pytest.mark.parametrize("name", ["", "a b", "../x", "hub:x", ":x", "timm:"])
def test_malformed_names_are_refused(name: str) -> None:
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


def test_unknown_arguments_are_refused() -> None:
    for source, name in (("cifar", "resnet8"), ("cifar", "vgg8"), ("torchvision", "resnet18"), ("timm", "resnet18")):
        with pytest.raises(UsageError, match="cannot be built"):
            build(Architecture(name, source, {"no_such_argument": 1}), 4)


def test_architecture_round_trips_through_json() -> None:
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


def test_missing_source_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnavailableError, match="timm"):
        resolve("timm:resnet18")


def test_checking_a_name_imports_no_torch() -> None:
    code = (
        "import sys; from exporters.student.architectures import parse, resolve; "
        "parse('timm:x'); resolve('cifar:resnet20'); "
    )
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
