"""From a student to proved files; a planted fault is found, and then no file takes its final name."""

import dataclasses
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image

from exporters.command import CalibrationRequest, ExportRequest, export_checkpoint
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.images.decoding import UnreadableImageError
from exporters.onnx.export import export_onnx
from exporters.parity import DEFAULT_GATES, ParityGate
from exporters.runtimes import TorchRuntime
from exporters.student.checkpoint import LoadedCheckpoint
from exporters.student.student import TrainedStudent
from tests.exporters.command.conftest import CLASSES, Exports, Trained, kind_of
from tests.exporters.onnx.planting import convolutions, overflowing, scale, weights_of

FILES = ["audit.json", "labels.json", "model.onnx", "parity.json", "preprocess.json"]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with an earlier export, and something of the user's."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (*FILES, "model.int8.onnx", "notes.txt"):
        (folder / name).write_text("before")
    return folder


def test_all_three_precisions_ship(trained: Trained, exports: Exports, out: Path) -> None:
    exports(trained.model)
    said: list[str] = []
    request = ExportRequest(("fp16", "int8"), keep="all", calibration=CalibrationRequest(trained.seen, 24))
    checkpoint = LoadedCheckpoint(trained.student, ("something was taken for granted",))
    report = export_checkpoint(checkpoint, out, data=trained.unseen, request=request, say=said.append)
    assert files(out) == sorted([*FILES, "model.fp16.onnx", "model.int8.onnx", "notes.txt"])
    assert json.loads((out / "parity.json").read_text()) == report and list(report) == ["fp32", "fp16", "int8"]
    audit = json.loads((out / "audit.json").read_text())
    images = np.stack([trained.student.preprocessing.apply(image) for image in _images(trained)])
    expected = TorchRuntime(trained.student).predict(images).argmax(axis=1)
    for name, proof in report.items():
        assert proof["passed"] and (proof["source"], proof["provider"]) == ("folder", "cpu")
        assert proof["whole"]["images"] == 48 and proof["whole"]["reference_accuracy"] > 0.9
        assert proof["batches"].keys() == {"1", "7"}
        assert audit[name]["file"] == proof["file"] and audit[name]["initializers"] and audit[name]["operators"]
        session = onnxruntime.InferenceSession(str(out / proof["file"]), providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"image": images})
        assert np.mean(logits.argmax(axis=1) == expected) >= proof["gate"]["min_agreement"]
        assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == CLASSES
    assert report["int8"]["kept_float"] == [] and report["fp16"]["trials"] >= 1
    assert said[0] == "note: something was taken for granted"
    order = [line.split(" ")[0].rstrip(":") for line in said if line.startswith("model.")]
    assert [*dict.fromkeys(order)] == ["model.onnx", "model.fp16.onnx", "model.int8.onnx"]
    assert any(line.startswith("  try 1 on 48 images") for line in said)


def _images(trained: Trained) -> list[Image.Image]:
    return [Image.open(path) for path in sorted(trained.unseen.rglob("*.png"))]


def test_export_without_data_says_that_it_proves_less(trained: Trained, exports: Exports, out: Path) -> None:
    exports(trained.model)
    said: list[str] = []
    report = export_checkpoint(LoadedCheckpoint(trained.student), out, say=said.append)
    assert report["fp32"]["source"] == "generated" and "prove less" in said[-1]
    assert report["fp32"]["whole"]["accuracy_drop"] is None and files(out) == sorted([*FILES, "notes.txt"])


def changed_weight(model: onnx.ModelProto) -> None:
    scale(weights_of(model, convolutions(model)[2])[0], 1.001)


def no_normalisation(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if list(tensor.dims) == [1, 3, 1, 1]:
            values = np.full((1, 3, 1, 1), 1 / 255, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def swapped_channels(model: onnx.ModelProto) -> None:
    """RGB to BGR, without a weight that anyone could miss."""
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
    swap = helper.make_node("Gather", [cast.input[0], "order"], ["swapped"], "swap", axis=3)
    cast.input[0] = "swapped"
    model.graph.node.insert(0, swap)


def permuted_labels(model: onnx.ModelProto) -> None:
    for entry in model.metadata_props:
        if entry.key == "labels":
            entry.value = json.dumps(CLASSES[::-1])


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (changed_weight, "the student does not explain"),
        (no_normalisation, "the student does not explain|does not normalise"),
        (swapped_channels, r"model\.onnx is not the student: largest error"),
        (permuted_labels, "do not hold the student's labels"),
    ],
)
def test_planted_faults_are_found(
    trained: Trained, exports: Exports, out: Path, plant: Callable[[onnx.ModelProto], None], told: str
) -> None:
    model = onnx.load_from_string(trained.model)
    plant(model)
    exports(model.SerializeToString())
    with pytest.raises(GateError, match=told):
        export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.unseen)
    assert [name for name in files(out) if not name.startswith("rejected/")] == ["notes.txt"]


def test_batch_statistics_in_the_export_are_found(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    """Like a network in train mode, whose answer for an image depends on the rest of its batch."""
    module = deepcopy(trained.student.module)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean = part.running_var = None
            part.track_running_stats = False
    planted = export_onnx(dataclasses.replace(trained.student, module=module), tmp_path / "planted.onnx")
    exports(planted.path.read_bytes())
    with pytest.raises(GateError, match=r"model\.onnx is not the student|does not explain"):
        export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", data=trained.unseen)


def test_nodes_that_overflow_in_fp16_stay_in_fp32(
    trained: Trained, exports: Exports, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, first, _ = overflowing(trained.model)
    exports(planted)
    with pytest.raises(GateError, match="does not explain"):  # it is not the student's
        export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.unseen)
    monkeypatch.setattr("exporters.audit.audit_export", lambda data, _student: _entries(data))
    said: list[str] = []
    request = ExportRequest(("fp16",), keep="all")
    report = export_checkpoint(
        LoadedCheckpoint(trained.student), out, data=trained.unseen, request=request, say=said.append
    )
    assert first in report["fp16"]["kept_float"]


def _entries(data: bytes) -> list[dict[str, Any]]:
    from exporters.onnx.reader import read_onnx

    return [
        {"name": value.name, "dtype": value.dtype, "dims": list(value.dims), "sha256": value.sha256, "origin": "own"}
        for value in read_onnx(data).tensors
    ]


class TestAFailedVariant:
    @pytest.fixture
    def strict(self, trained: Trained, exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
        exports(trained.model)
        strict = {**DEFAULT_GATES, "fp16": ParityGate(1e-9, 1.0, 0.0)}
        monkeypatch.setattr("exporters.command.task.DEFAULT_GATES", strict)

    @pytest.mark.usefixtures("strict")
    def test_failed_optional_variant_is_put_aside(self, trained: Trained, out: Path) -> None:
        said: list[str] = []
        report = export_checkpoint(
            LoadedCheckpoint(trained.student),
            out,
            data=trained.unseen,
            request=ExportRequest(("fp16",)),
            say=said.append,
        )
        assert files(out) == sorted([*FILES, "notes.txt", "rejected/model.fp16.onnx", "rejected/model.fp16.onnx.json"])
        assert report["fp16"]["status"] == "rejected" and report["fp32"]["passed"]
        assert json.loads((out / "rejected" / "model.fp16.onnx.json").read_text()) == report["fp16"]
        assert "fp16" not in json.loads((out / "audit.json").read_text())
        assert said[-1].startswith("model.fp16.onnx: rejected, largest error")

    @pytest.mark.usefixtures("strict")
    def test_failed_required_variant_ends_the_export(self, trained: Trained, out: Path) -> None:
        request = ExportRequest(("fp16",), required=("fp16",))
        with pytest.raises(GateError, match=r"model\.fp16\.onnx must pass and did not: largest error") as caught:
            export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.unseen, request=request)
        assert files(out) == [
            "notes.txt", "rejected/model.fp16.onnx", "rejected/model.fp16.onnx.json", "rejected/parity.json",
        ]  # fmt: skip
        assert str(out / "rejected") in str(caught.value.remedy)

    @pytest.mark.parametrize("required", [(), ("fp16",)])
    def test_variant_that_cannot_be_made_ends_the_export_only_if_required(
        self, trained: Trained, exports: Exports, out: Path, monkeypatch: pytest.MonkeyPatch, required: tuple[str, ...]
    ) -> None:
        def fail(*_arguments: object, **_options: object) -> None:
            raise GateError("planted")

        exports(trained.model)
        monkeypatch.setattr("exporters.artifacts.variants.make_variant", fail)
        request = ExportRequest(("fp16",), required=required)
        if required:
            with pytest.raises(GateError, match=r"model\.fp16\.onnx must pass and did not: planted"):
                export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.unseen, request=request)
            assert files(out) == ["notes.txt", "rejected/parity.json"]
        else:
            report = export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.unseen, request=request)
            assert report["fp16"]["status"] == "not made" and files(out) == sorted([*FILES, "notes.txt"])


def test_an_fp32_file_that_fails_leaves_its_report(
    trained: Trained, exports: Exports, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = dataclasses.replace(trained.student.preprocessing, mean=(0.6, 0.4, 0.5))
    reference = TorchRuntime(dataclasses.replace(trained.student, preprocessing=shifted))
    exports(trained.model)
    monkeypatch.setattr("exporters.runtimes.TorchRuntime", lambda _student: reference)
    with pytest.raises(GateError, match=r"model\.onnx is not the student: largest error") as caught:
        export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.unseen)
    assert files(out) == ["notes.txt", "rejected/parity.json"] and "rejected" in str(caught.value.remedy)
    assert not json.loads((out / "rejected" / "parity.json").read_text())["fp32"]["passed"]


@pytest.mark.parametrize("required", [(), ("int8",)])
def test_int8_calibrated_on_noise_is_rejected(
    trained: Trained,
    exports: Exports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    required: tuple[str, ...],
) -> None:
    """Ranges of dark images, which the network never sees, clip all others."""
    (tmp_path / "noise").mkdir()
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 12, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "noise" / f"{index}.png")
    exports(trained.model)
    # Three colours are told apart even so; the logits are not what they were.
    monkeypatch.setattr("exporters.command.task.DEFAULT_GATES", {**DEFAULT_GATES, "int8": ParityGate(0.03, 0.97, 0.01)})
    request = ExportRequest(("int8",), required=required, calibration=CalibrationRequest(tmp_path / "noise"))
    if required:
        with pytest.raises(GateError, match=r"model\.int8\.onnx must pass and did not: largest error"):
            export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", data=trained.unseen, request=request)
        assert not (tmp_path / "out" / "model.onnx").exists()
        return
    report = export_checkpoint(
        LoadedCheckpoint(trained.student), tmp_path / "out", data=trained.unseen, request=request
    )
    assert report["int8"]["status"] == "rejected" and report["int8"]["trials"] > 1
    assert "model.int8.onnx" not in files(tmp_path / "out")


@pytest.mark.parametrize("where", ["model.onnx on", "model.fp16.onnx: searched", "  try 1"])
def test_an_interrupted_export_leaves_nothing(trained: Trained, exports: Exports, out: Path, where: str) -> None:
    def say(line: str) -> None:
        if line.startswith(where):
            raise KeyboardInterrupt

    exports(trained.model)
    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(
            LoadedCheckpoint(trained.student), out, data=trained.unseen, request=ExportRequest(("fp16",)), say=say
        )
    assert files(out) == ["notes.txt"] and [path.name for path in out.iterdir()] == ["notes.txt"]


class TestImages:
    def test_folder_without_images_is_refused(self, trained: Trained, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(UnavailableError, match="no images here"):
            export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", data=tmp_path / "empty")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("use", ["data", "calibration"])
    def test_unreadable_image_ends_the_export(
        self, trained: Trained, exports: Exports, tmp_path: Path, use: str
    ) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        for number in range(9):
            Image.fromarray(kind_of(number % 3, 900 + number)).save(folder / f"{number}.png")
        (folder / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n broken off")
        data, seen = (folder, trained.seen) if use == "data" else (trained.unseen, folder)
        exports(trained.model)
        request = ExportRequest(("int8",), calibration=CalibrationRequest(seen))
        with pytest.raises(UnreadableImageError, match=r"5\.png"):
            export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", data=data, request=request)
        assert files(tmp_path / "out") == []

    def test_same_images_for_calibration_and_proof_are_refused(self, trained: Trained, out: Path) -> None:
        request = ExportRequest(("int8",), calibration=CalibrationRequest(trained.seen))
        with pytest.raises(UnavailableError, match="36 of the images to prove on"):
            export_checkpoint(LoadedCheckpoint(trained.student), out, data=trained.seen, request=request)
        assert (out / "model.onnx").read_text() == "before"

    def test_generated_images_do_not_prove_int8(self, trained: Trained, out: Path) -> None:
        request = ExportRequest(("int8",), calibration=CalibrationRequest(trained.seen))
        with pytest.raises(UsageError, match="--data is missing"):
            export_checkpoint(LoadedCheckpoint(trained.student), out, request=request)
        assert (out / "model.onnx").read_text() == "before"


def test_file_with_other_labels_is_refused(trained: Trained, exports: Exports, out: Path) -> None:
    other: TrainedStudent = dataclasses.replace(trained.student, labels=CLASSES[::-1])
    exports(trained.model)
    with pytest.raises(GateError, match="do not hold the student's labels"):
        export_checkpoint(LoadedCheckpoint(other), out, data=trained.unseen)


def test_maps_go_with_images_of_any_size_and_probabilities(trained: Trained, tmp_path: Path) -> None:
    report = export_checkpoint(
        LoadedCheckpoint(trained.student), tmp_path, data=trained.unseen, cam=True, any_size=True, probabilities=True
    )
    told = report["fp32"]["cam"]
    assert report["fp32"]["passed"] and told["whole"]["images"] == 48 and told["failures"] == []
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits", "probabilities", "cam"]
    image = _images(trained)[0]
    logits, cam = session.run(["logits", "cam"], {"image": np.asarray(image)[None]})
    expected = TorchRuntime(trained.student).explain(trained.student.preprocessing.apply(image)[None])
    assert logits.argmax() == expected.logits.argmax()
    assert np.abs(cam - expected.cam).max() < 0.05 * np.abs(expected.cam).max()  # resized pixels may differ by one
