import copy
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exporters import __version__
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_bytes
from exporters.onnx.export import NormalizedStudent, _checked, export_onnx
from exporters.student.student import TrainedStudent
from tests.exporters.conftest import LABELS, Exported, random_images


def with_module(student: TrainedStudent, module: torch.nn.Module) -> TrainedStudent:
    return dataclasses.replace(student, module=module)


class Tiny(torch.nn.Module):
    def __init__(self, classes: int = len(LABELS)) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, classes)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(x.mean(dim=(2, 3))))


@pytest.fixture
def tiny(cifar: Exported) -> TrainedStudent:
    torch.manual_seed(0)
    return with_module(cifar.student, Tiny().eval())


def test_exported_file_follows_the_contract(cifar: Exported) -> None:
    export, size = cifar.export, cifar.student.preprocessing.size
    assert (export.sha256, export.size) == (sha256_bytes(cifar.data), len(cifar.data))
    model = onnx.load_from_string(cifar.data)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert model.ir_version == export.ir_version == 10
    assert (model.producer_name, model.producer_version, model.model_version) == ("tmkd-pipeline", __version__, 1)
    (image,), (logits,) = model.graph.input, model.graph.output
    assert [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim] == ["batch", size, size, 3]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ["batch", len(LABELS)]
    first = model.graph.node[0]
    assert first.op_type == "Cast"
    assert not [entry for entry in export.path.parent.iterdir() if "onnx" in entry.name and entry != export.path]
    assert "BatchNormalization" not in export.operators
    assert sum(export.operators.values()) == len(model.graph.node)


def test_metadata_describes_the_student(cifar: Exported, tmp_path: Path) -> None:
    described = {
        "labels": LABELS,
        "name": "finches",
        "preprocessing": cifar.student.preprocessing.to_json(),
        "version": __version__,
    }
    assert metadata_of(cifar.data) == described
    renamed = export_onnx(cifar.student, tmp_path / "renamed.onnx", name="terns", licence="Apache-2.0")
    assert metadata_of(renamed.path.read_bytes()) == {**described, "licence": "Apache-2.0", "name": "terns"}


def metadata_of(data: bytes) -> dict[str, object]:
    return {entry.key: json.loads(entry.value) for entry in onnx.load_from_string(data).metadata_props}


def test_file_holds_no_trace_of_the_machine(shufflenet: Exported) -> None:
    for word in (b"stack_trace", b"pkg.torch", b"site-packages", b".py", str(Path.cwd()).encode()):
        assert word not in shufflenet.data
    text = str(onnx.load_from_string(shufflenet.data).graph.node)
    assert not re.search(r"doc_string|metadata_props", text)


def test_same_student_gives_same_bytes(cifar: Exported, tmp_path: Path) -> None:
    again = export_onnx(cifar.student, tmp_path / "again.onnx")
    assert again.path.read_bytes() == cifar.data
    other = export_onnx(cifar.student, tmp_path / "other.onnx", licence="Apache-2.0")
    assert other.sha256 != again.sha256


@pytest.mark.parametrize("opset", range(18, 26))
def test_requested_opset_is_used(tiny: TrainedStudent, tmp_path: Path, opset: int) -> None:
    export = export_onnx(tiny, tmp_path / "model.onnx", opset)
    model = onnx.load(export.path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert export.opset == opset and export.ir_version == model.ir_version
    assert opset > 22 or model.ir_version <= 10


@pytest.mark.parametrize("opset", [18, 22])
def test_export_adds_probabilities_and_takes_images_of_any_size(
    tiny: TrainedStudent, tmp_path: Path, opset: int
) -> None:
    export = export_onnx(tiny, tmp_path / "model.onnx", opset, probabilities=True, any_size=True)
    model = onnx.load(export.path)
    assert [value.name for value in model.graph.output] == ["logits", "probabilities"]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", "height", "width", 3]
    assert model.opset_import[0].version == opset and export.operators["Resize"] == 1
    assert export_onnx(tiny, tmp_path / "b.onnx", opset, probabilities=True, any_size=True).sha256 == export.sha256


@pytest.mark.parametrize("opset", [13, 17, 26])
def test_unsupported_opsets_are_refused(tiny: TrainedStudent, tmp_path: Path, opset: int) -> None:
    with pytest.raises(UsageError, match=f"opset {opset}"):
        export_onnx(tiny, tmp_path / "model.onnx", opset)
    assert not list(tmp_path.iterdir())


def test_one_batch_norm_in_train_mode_is_refused(cifar: Exported, tmp_path: Path) -> None:
    module = copy.deepcopy(cifar.student.module)
    module.get_submodule("layer2.0.bn1").train()
    with pytest.raises(GateError, match=r"layer2\.0\.bn1 is in train mode"):
        export_onnx(with_module(cifar.student, module), tmp_path / "model.onnx")


def test_unfit_students_are_refused(cifar: Exported, tmp_path: Path) -> None:
    half = copy.deepcopy(cifar.student.module).half()
    with pytest.raises(UsageError, match="float16"):
        export_onnx(with_module(cifar.student, half), tmp_path / "model.onnx")
    broken = copy.deepcopy(cifar.student.module)
    with torch.no_grad():
        broken.get_parameter("linear.bias")[0] = float("nan")
    with pytest.raises(GateError, match=r"linear\.bias holds NaN"):
        export_onnx(with_module(cifar.student, broken), tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="on meta"):
        export_onnx(with_module(cifar.student, Tiny().eval().to("meta")), tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="7 labels"):
        export_onnx(with_module(cifar.student, Tiny(3).eval()), tmp_path / "model.onnx")


def test_untraceable_network_gives_one_clear_error(
    tiny: TrainedStudent, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Untraceable(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if bool(x.mean() > -100) else super().forward(-x)

    with pytest.raises(UnavailableError, match="cannot be exported"):
        export_onnx(with_module(tiny, Untraceable().eval()), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")


def test_export_is_silent_and_leaves_logging_alone(
    tiny: TrainedStudent, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    import logging

    export_onnx(tiny, tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)
    assert logging.root.manager.disable == 0


def test_normalisation_inside_equals_the_definition(tiny: TrainedStudent) -> None:
    images = random_images(3, 32)
    mean, std = (np.array(value) for value in (tiny.preprocessing.mean, tiny.preprocessing.std))
    x = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = tiny.module.double()(torch.from_numpy(x))
        tiny.module.float()
        found = NormalizedStudent(tiny).eval()(torch.from_numpy(images))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unexpected_files_are_refused(cifar: Exported) -> None:
    def damaged(change: str) -> onnx.ModelProto:
        model = onnx.load_from_string(cifar.data)
        if change == "operator sets":
            model.opset_import[0].version = 18
        elif change == "IR version":
            model.ir_version = 11
        elif change == "second file":
            model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        elif change == "not valid ONNX":
            model.graph.node[3].op_type = "NoSuchOperator"
        elif change == "inputs and outputs":
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        return model

    for change in ("operator sets", "IR version", "second file", "not valid ONNX", "inputs and outputs"):
        with pytest.raises(GateError, match=change):
            _checked(damaged(change), cifar.student, 20)


def test_student_too_large_for_one_file_is_refused(
    tiny: TrainedStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.onnx.export._MAX_BYTES", 10)
    with pytest.raises(GateError, match="one ONNX file"):
        export_onnx(tiny, tmp_path / "model.onnx")
