import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters.audit import audit_export
from exporters.onnx.export import export_onnx
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.student.architectures import CIFAR_NAMES, Architecture
from exporters.student.student import load_student
from tests.exporters.conftest import make_student, random_images
from tests.exporters.student.architectures.cifar.networks import COMPARED, make, option_b, parameters

# Side of the image over side of the last map.
REDUCTION = {"resnet": 4, "wrn": 4, "vgg": 8, "mobilenet": 16, "shufflenet": 8}
OTHERS = [name for name in CIFAR_NAMES if not name.startswith("resnet")]


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_parameter_counts_match_the_distillation_comparison(name: str) -> None:
    assert parameters(make(name, 100, **option_b(name))) == COMPARED[name]


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", CIFAR_NAMES)
def test_features_and_logits_have_expected_shapes(name: str, size: int) -> None:
    module = make(name, 5).train()
    x = torch.randn(2, 3, size, size)
    side = size // REDUCTION[re.split(r"[^a-z]", name)[0]]
    with torch.no_grad():
        feature_map = module.forward_features(x)
        assert feature_map.shape == (2, module.linear.in_features, side, side)
        logits = module(x)
        torch.testing.assert_close(logits, module.linear(feature_map.mean((2, 3))))
    assert logits.shape == (2, 5)
    assert 0.01 < logits.abs().max() < 100  # at initialisation nothing dies out on the way, nor explodes


@pytest.mark.parametrize("name", [name for name in CIFAR_NAMES if re.match("resnet|wrn|vgg", name)])
def test_depth_matches_the_name(name: str) -> None:
    layers = [key for key, part in make(name, 5).named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    depth = int(re.findall(r"\d+", name)[0])
    # A WRN of depth 6n+4 has 6n+2 layers beside its shortcuts; a VGG's name counts three linear layers, one is left.
    depth -= {"resnet": 0, "wrn": 2, "vgg": 2}[re.split(r"[^a-z]", name)[0]]
    assert sum("shortcut" not in key for key in layers) == depth


@pytest.mark.parametrize("name", [*OTHERS, "resnet20"])
def test_saved_student_loads_unchanged(name: str, tmp_path: Path) -> None:
    architecture = Architecture(name, "cifar", option_b(name))
    first = make_student(tmp_path, architecture, 32)
    second = load_student(tmp_path)
    assert second.architecture == architecture
    state = second.module.state_dict()
    assert list(state) == list(first.module.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in first.module.state_dict().items())
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(second.module(x), first.module(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        *("wrn-16-2", "vgg8"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("resnet20", "wrn-40-1", "wrn-40-2", "vgg13", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2")
        ),
    ],
)
def test_exported_student_passes_the_audit_and_keeps_its_logits(name: str, tmp_path: Path) -> None:
    student = make_student(tmp_path, Architecture(name, "cifar", option_b(name)), 32)
    export = export_onnx(student, tmp_path / "model.onnx", licence="Apache-2.0")
    entries = audit_export(export.path.read_bytes(), student)
    assert sum(int(np.prod(entry["dims"])) for entry in entries) >= student.parameters * 0.9
    images = random_images(3, 32)
    reference, logits = TorchRuntime(student).predict(images), OnnxRuntime(export.path, threads=1).predict(images)
    np.testing.assert_allclose(logits, reference, rtol=1e-3, atol=1e-3 * np.abs(reference).max())
