"""Networks that reject the images or return something other than logits."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError, UsageError
from exporters.student.architectures import Architecture, build
from exporters.student.trial import try_network


class Giving(nn.Module):
    """Gives whatever a function makes of its logits."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.function = function

    def forward(self, images: Tensor) -> Any:
        return self.function(self.linear(images.mean(dim=(2, 3))))


def failing(error: Exception) -> Any:
    def fail(_logits: Tensor) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("name", "arguments", "size", "told", "remedy"),
    [
        ("timm:vit_tiny_patch16_224", {"depth": 1}, 96, "cannot take images of 96 × 96", "other size"),
        ("timm:test_vit", {"img_size": 64}, 65, "cannot take images of 65 × 65", "other size"),
        ("torchvision:inception_v3", {}, 64, "cannot take images of 64 × 64", "other size"),
        ("torchvision:alexnet", {}, 32, "cannot take images of 32 × 32", "other size"),
        ("timm:test_resnet", {"in_chans": 1}, 64, "takes images of 1 channel, not of 3", "in_chans"),
        ("timm:test_resnet", {"in_chans": 4}, 64, "takes images of 4 channels", "in_chans"),
        ("timm:test_resnet", {"features_only": True}, 64, "gives a list of 5 and not logits", "features_only"),
    ],
)
def test_unsuitable_library_networks_are_refused(
    name: str, arguments: dict[str, Any], size: int, told: str, remedy: str
) -> None:
    source, bare = name.split(":")
    network = build(Architecture(bare, source, arguments), 5)
    with pytest.raises(UsageError, match=told) as caught:
        try_network(network, size, "student.model", remedy="other size")
    assert caught.value.message.startswith("student.model: ")
    assert remedy in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda logits: {"logits": logits}, "gives a dict of 1 and not logits"),
        (lambda logits: (logits, logits), "gives a tuple of 2 and not logits"),
        (lambda _logits: None, "gives a NoneType and not logits"),
        (lambda logits: logits[:1], r"gives \[1, 5\] for 2 images"),
        (lambda logits: logits.argmax(dim=1), r"gives \[2\] for 2 images"),
        (lambda logits: logits.long(), r"gives \[2, 5\]"),
        (lambda logits: logits[:, :, None, None], r"gives \[2, 5, 1, 1\] for 2 images"),
        (failing(IndexError("tuple index out of range")), "cannot take images .*tuple index out of range"),
        (failing(ZeroDivisionError()), "cannot take images .*ZeroDivisionError"),
        (failing(KeyError("x")), "cannot take images"),
    ],
)
def test_forward_pass_without_plain_logits_is_refused(function: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        try_network(Giving(function), 16, "network", remedy="other size")
    assert caught.value.remedy


def test_lack_of_memory_is_not_blamed_on_the_image_size() -> None:
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")):
        with pytest.raises(UnavailableError, match="not enough memory"):
            try_network(Giving(failing(error)), 16, "network", remedy="other size")


@pytest.mark.parametrize("training", [False, True])
def test_trial_leaves_the_network_unchanged(training: bool) -> None:
    network = build(Architecture("resnet8", "cifar"), 5)
    network.train()
    network.bn1.eval()  # type: ignore[union-attr]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    assert try_network(network, 32, "network", remedy="other size", training=training).shape == (2, 5)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training and not network.bn1.training  # type: ignore[union-attr]


def test_heads_active_only_in_training_are_refused() -> None:
    network = build(Architecture("googlenet", "torchvision", {"aux_logits": True}), 5)
    assert try_network(network, 64, "network", remedy="other size").shape == (2, 5)
    with pytest.raises(UsageError, match="in training, the network gives a GoogLeNetOutputs of 3") as caught:
        try_network(network, 64, "network", remedy="other size", training=True)
    assert "aux_logits" in str(caught.value.remedy)
