"""`export --bundle`: the bundle that an export packs is one like a run's."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporters.bundle.accuracy import verify_accuracy
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.command import CalibrationRequest, ExportRequest, export_checkpoint
from exporters.core.errors import UnavailableError, UsageError
from exporters.core.licences import CODE_LICENCE
from exporters.runtimes import TorchRuntime
from exporters.student.checkpoint import LoadedCheckpoint
from tests.exporters.command.conftest import CLASSES, Exports, Trained

BUNDLE = ExportRequest(bundle=True)


def test_exported_models_are_packed_and_verify(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    exports(trained.model)
    said: list[str] = []
    request = ExportRequest(
        ("fp32", "fp16", "int8"), keep="all", calibration=CalibrationRequest(trained.seen, 24), bundle=True
    )
    student = replace(trained.student, name="my colours (2)")
    checkpoint = LoadedCheckpoint(student, ("mean and std are those of the library", "read from /home/someone/x.pth"))
    reports = export_checkpoint(
        checkpoint, tmp_path, data=trained.unseen, request=request, licence="mit", say=said.append
    )
    bundle = tmp_path / "bundle"
    report = verify_bundle(bundle)
    assert set(report.golden_errors) == {"model.onnx", "model.fp16.onnx", "model.int8.onnx"}
    for file in report.golden_errors:
        assert (bundle / file).read_bytes() == (tmp_path / file).read_bytes()
    assert json.loads((bundle / "parity.json").read_text()) == reports
    manifest = report.manifest
    assert manifest["name"] == "my-colours-2" and manifest["architecture"] == "cifar:resnet8"
    assert manifest["facts"]["licences"] == {"weights": "MIT", "data": None, "code": CODE_LICENCE}
    golden = np.load(bundle / "golden" / "inputs.npz")["image"]
    logits = np.load(bundle / "golden" / "outputs.npz")["logits"]
    assert len(golden) == 16 and np.array_equal(TorchRuntime(student).predict(golden), logits)
    measured = verify_accuracy(bundle, manifest, trained.unseen)
    assert measured.split == "proof" and measured.stated == (measured.correct["model.onnx"], 48)
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "mean and std are those of the library" in card and "someone" not in card
    assert "knowledge-distillation" not in card and "how it was trained, and on what, is not known here" in card
    assert "| recipe sha256 | not stated |" in card and "export … --bundle" in card
    assert f"bundle: {report.size}, verified" in said
    with tarfile.open(tmp_path / "bundle.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    verify_bundle(tmp_path / "unpacked" / "bundle")
    image = next(iter((trained.unseen / "red").iterdir()))
    assert Student.load(bundle, precision="int8").predict(image, top=1)[0][0] == "red"
    assert {path.name for path in (bundle / "triton").iterdir()} == {"my-colours-2"}


def test_bundle_of_generated_images_says_so(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    exports(trained.model)
    export_checkpoint(LoadedCheckpoint(trained.student), tmp_path, request=BUNDLE)
    manifest = verify_bundle(tmp_path / "bundle").manifest
    assert manifest["facts"]["results"] == {} and manifest["facts"]["data"]["name"] == "generated images"
    assert "generated images alone, which proves less" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()


def test_unlabelled_images_give_golden_vectors_and_no_accuracy(
    trained: Trained, exports: Exports, tmp_path: Path
) -> None:
    exports(trained.model)
    (tmp_path / "photos").mkdir()
    for label in CLASSES:
        for path in sorted((trained.unseen / label).iterdir())[:2]:
            shutil.copy(path, tmp_path / "photos" / f"{label}{path.name}")
    export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", data=tmp_path / "photos", request=BUNDLE)
    report = verify_bundle(tmp_path / "out" / "bundle")
    assert report.golden_images == 16 and report.manifest["facts"]["results"] == {}


def test_earlier_bundle_goes_with_the_export_that_made_it(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    exports(trained.model)
    export_checkpoint(LoadedCheckpoint(trained.student), tmp_path, request=BUNDLE)
    first = (tmp_path / "bundle" / "manifest.json").read_bytes()
    export_checkpoint(LoadedCheckpoint(replace(trained.student, name="other")), tmp_path, request=BUNDLE)
    assert (tmp_path / "bundle" / "manifest.json").read_bytes() != first
    export_checkpoint(LoadedCheckpoint(trained.student), tmp_path)
    assert not (tmp_path / "bundle").exists() and not (tmp_path / "bundle.tar").exists()


def test_foreign_bundle_is_left_alone(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    exports(trained.model)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "precious.txt").touch()
    with pytest.raises(UsageError, match="did not write it"):
        export_checkpoint(LoadedCheckpoint(trained.student), tmp_path, request=BUNDLE)
    for _ in range(2):
        export_checkpoint(LoadedCheckpoint(trained.student), tmp_path)
    assert (tmp_path / "bundle" / "precious.txt").is_file()


@pytest.mark.parametrize("form", ["any_size", "probabilities"])
def test_forms_that_no_bundle_holds_are_refused(trained: Trained, tmp_path: Path, form: str) -> None:
    with pytest.raises(UsageError, match=f"--{form.replace('_', '-')} and --bundle"):
        export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", request=BUNDLE, **{form: True})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_missing_package_is_reported_before_anything_is_made(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="cyclonedx-python-lib"):
        export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", request=BUNDLE)
    assert not (tmp_path / "out").exists()


def test_bundle_has_the_maps_of_every_precision(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    exports(trained.model)
    calibration = CalibrationRequest(trained.seen, 24)
    request = ExportRequest(("fp16", "int8"), keep="all", calibration=calibration, bundle=True)
    export_checkpoint(LoadedCheckpoint(trained.student), tmp_path, data=trained.unseen, request=request, cam=True)
    report = verify_bundle(tmp_path / "bundle")
    models = report.manifest["models"]
    assert list(models) == ["model.fp16.onnx", "model.int8.onnx", "model.onnx"]
    assert models["model.onnx"]["cam_tolerance"] < models["model.fp16.onnx"]["cam_tolerance"]
    image = next(trained.unseen.rglob("*.png"))
    maps = [Student.load(tmp_path / "bundle", precision=name).explain(image).cam for name in ("fp32", "fp16", "int8")]
    for other, bound in zip(maps[1:], (0.01, 0.2), strict=True):
        assert np.abs(other - maps[0]).max() < bound * np.abs(maps[0]).max()
