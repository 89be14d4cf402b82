"""Networks of all families: exported, every tensor explained, equal to torch.

To add a precision, make it from `exported.data` in `check` and give `Network` its bounds.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.architectures import Architecture, resolve
from exporters.audit import audit_export
from exporters.onnx.export import export_onnx
from exporters.runtimes import OnnxRuntime, TorchRuntime
from tests.exporters.conftest import make_student, random_images


@dataclass(frozen=True)
class Network:
    """A row of the matrix: the name, the size it is tried at, the builder's arguments, whether it is small.

    `norms` is how many batch norms stay: those that come before their convolution cannot be folded into it.
    """

    name: str
    size: int = 64
    arguments: dict[str, Any] = field(default_factory=dict)
    small: bool = False
    norms: int = 0


_TINY_CONVNEXT = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}
MATRIX = (
    Network("torchvision:resnet18"),
    Network("torchvision:resnet50"),
    Network("torchvision:mobilenet_v2"),
    Network("torchvision:mobilenet_v3_small"),
    Network("torchvision:mobilenet_v3_large"),
    Network("torchvision:shufflenet_v2_x0_5"),
    Network("torchvision:efficientnet_b0"),
    Network("torchvision:squeezenet1_1", small=True),
    Network("timm:mobilenetv4_conv_small"),
    Network("timm:repvgg_a0"),
    Network("timm:mobileone_s0"),
    Network("timm:convnext_atto"),
    Network("timm:convnext_atto", arguments=_TINY_CONVNEXT, small=True),
    Network("timm:vit_tiny_patch16_224", arguments={"img_size": 64}),
    Network("timm:vit_tiny_patch16_224", 32, {"img_size": 32, "depth": 1}, small=True),
    Network("cifar:resnet20", 32),
    Network("cifar:shufflenet_v1", 32),
    Network("cifar:wrn-16-2", 32, small=True, norms=6),
    Network("timm:regnety_002"),
    Network("timm:ghostnet_100"),
    Network("timm:fastvit_t8"),
    Network("timm:repvit_m0_9"),
    Network("timm:efficientvit_b0"),
    Network("timm:efficientvit_m0", arguments={"img_size": 64}),
)
MAX_SCALED_ERROR = 1e-5


def check(network: Network, folder: Path) -> dict[str, Any]:
    """The row of the table: operators, bytes, tensors explained, error."""
    source, name = resolve(network.name)
    student = make_student(folder, Architecture(name, source, network.arguments), network.size)
    export = export_onnx(student, folder / "model.onnx")
    entries = audit_export(export.path.read_bytes(), student)
    images = random_images(5, network.size)
    expected = TorchRuntime(student).predict(images)
    runtime = OnnxRuntime(export.path, threads=1)
    scale = float(np.abs(expected).max())
    error = float(np.abs(runtime.predict(images) - expected).max()) / scale
    single = float(np.abs(runtime.predict(images[:1]) - expected[:1]).max()) / scale
    row = {"nodes": sum(export.operators.values()), "bytes": export.size, "tensors": len(entries)}
    assert export.operators.get("BatchNormalization", 0) == network.norms
    assert max(error, single) < MAX_SCALED_ERROR
    return {**row, "error": max(error, single)}


def _name(network: Network) -> str:
    return network.name + ("-small" if network.small else "")


@pytest.mark.parametrize("network", [network for network in MATRIX if network.small], ids=_name)
def test_small_networks(network: Network, tmp_path: Path) -> None:
    check(network, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("network", MATRIX, ids=_name)
def test_all_networks(network: Network, tmp_path: Path) -> None:
    row = check(network, tmp_path)
    print(f"| {network.name} | {row['nodes']} | {row['bytes'] / 1e6:.2f} MB | {row['tensors']} | {row['error']:.1e} |")
