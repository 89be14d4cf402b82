import copy
import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

from exporters.audit import audit_export
from exporters.core.errors import GateError, UnavailableError
from exporters.onnx.export import export_onnx
from exporters.onnx.reparameterize import fuse_branches, has_branches
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.student.student import TrainedStudent
from tests.exporters.conftest import LABELS, Exported, random_images, randomise


def branched(kind: str) -> torch.nn.Module:
    """A small RepVGG (`rep`) or MobileOne (`one`): strides with two branches, then identities."""
    options = {"block_kwargs": {"num_conv_branches": 2}} if kind == "one" else {}
    blocks = (
        ByoBlockCfg(type=kind, d=2, c=8, s=2, gs=0, **options),
        ByoBlockCfg(type=kind, d=2, c=12, s=2, gs=4, **options),
    )
    config = ByoModelCfg(blocks=blocks, stem_type=kind, stem_chs=8)
    torch.manual_seed(1)
    return randomise(ByobNet(config, num_classes=len(LABELS)), 5)


@pytest.fixture(params=["rep", "one"])
def student(request: pytest.FixtureRequest, cifar: Exported) -> TrainedStudent:
    return dataclasses.replace(cifar.student, module=branched(request.param))


def test_one_convolution_is_left_of_each_block(student: TrainedStudent) -> None:
    before = copy.deepcopy(student.module.state_dict())
    fused = fuse_branches(student)
    assert has_branches(student.module) and not [p for p in fused.module.modules() if p.training]
    assert not [part for part in fused.module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert sum(isinstance(part, torch.nn.Conv2d) for part in fused.module.modules()) == 5
    assert all(torch.equal(value, before[name]) for name, value in student.module.state_dict().items())
    images = random_images(6, 32)
    expected, found = TorchRuntime(student).predict(images), TorchRuntime(fused).predict(images)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_export_fuses_by_itself_and_the_audit_explains_it(student: TrainedStudent, tmp_path: Path) -> None:
    export = export_onnx(student, tmp_path / "model.onnx")
    assert export.operators["Conv"] == 5 and "BatchNormalization" not in export.operators
    entries = audit_export(export.path.read_bytes(), student)
    origins = [entry["origin"] for entry in entries]
    for block in ("stem", "stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1"):
        assert origins.count(f"re-parameterised {block}") == 2
    images = random_images(5, 32)
    expected, found = TorchRuntime(student).predict(images), OnnxRuntime(export.path, threads=1).predict(images)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()

    model = onnx.load(export.path)
    name = next(entry["name"] for entry in entries if entry["origin"] == "re-parameterised stages.0.1")
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[np.abs(values).argmax()] *= 1.001
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
    with pytest.raises(GateError, match=name):
        audit_export(model.SerializeToString(), student)


def test_changed_branch_fails_the_audit(student: TrainedStudent, tmp_path: Path) -> None:
    data = export_onnx(student, tmp_path / "model.onnx").path.read_bytes()
    other = copy.deepcopy(student.module)
    with torch.no_grad():
        other.get_submodule("stages.0.1.identity").running_mean.add_(0.01)
    with pytest.raises(GateError, match="does not explain"):
        audit_export(data, dataclasses.replace(student, module=other))


def test_networks_without_branches_are_left_alone(cifar: Exported) -> None:
    assert not has_branches(cifar.student.module)
    assert fuse_branches(cifar.student) is cifar.student


def test_a_wrong_fusion_is_caught(student: TrainedStudent, monkeypatch: pytest.MonkeyPatch) -> None:
    block = type(student.module.get_submodule("stages.0.1"))
    right = block._get_kernel_bias
    monkeypatch.setattr(block, "_get_kernel_bias", lambda self: (right(self)[0], right(self)[1] * 1.01))
    with pytest.raises(GateError, match="another network"):
        fuse_branches(student)
    monkeypatch.setattr(block, "_get_kernel_bias", lambda self: (_ for _ in ()).throw(ValueError("no kernel")))
    with pytest.raises(UnavailableError, match="cannot be fused: no kernel"):
        fuse_branches(student)
