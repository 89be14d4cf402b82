import dataclasses
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from exporters.checkpoint import Checkpoint
from exporters.command import export_checkpoint
from exporters.errors import GateError, UnavailableError
from exporters.runtimes import OnnxRuntime, TorchRuntime
from tests.exporters.conftest import LABELS, Exported

FILES = ["audit.json", "labels.json", "model.onnx", "parity.json", "preprocess.json"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for label in LABELS[:2]:
        (tmp_path / "photos" / label).mkdir(parents=True)
        for index in range(2):
            pixels = random.integers(0, 256, (50 + 9 * index, 70, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{index}.png")
    return tmp_path / "photos"


def test_every_form_at_once(cifar: Exported, photos: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    checkpoint = Checkpoint(cifar.student, ("something was taken for granted",))
    report = export_checkpoint(
        checkpoint, out, probabilities=True, any_size=True, licence="MIT", data=photos, say=said.append
    )
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert json.loads((out / "parity.json").read_text()) == report
    assert report["fp32"]["passed"] and report["resize"]["passed"]
    assert (report["fp32"]["source"], report["fp32"]["whole"]["images"]) == ("folder", 4)
    assert report["fp32"]["whole"]["reference_accuracy"] is not None
    assert json.loads((out / "labels.json").read_text()) == LABELS
    assert json.loads((out / "preprocess.json").read_text()) == cifar.student.preprocessing.to_json()
    assert len(json.loads((out / "audit.json").read_text())["initializers"]) > len(cifar.entries)
    assert said[0] == "note: something was taken for granted" and "drawn" not in " ".join(said)

    image = Image.open(sorted(photos.rglob("*.png"))[0])
    expected = TorchRuntime(cifar.student).predict(cifar.student.preprocessing.apply(image)[None])
    np.testing.assert_allclose(OnnxRuntime(out / "model.onnx").predict(np.asarray(image)[None]), expected, atol=0.05)
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"image": np.asarray(image)[None]})
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(), atol=1e-6)


def test_without_data_it_says_that_this_proves_less(cifar: Exported, tmp_path: Path) -> None:
    said: list[str] = []
    report = export_checkpoint(Checkpoint(cifar.student), tmp_path, say=said.append)
    assert report["fp32"]["source"] == "generated" and "proves less" in said[-1]
    assert report["fp32"]["whole"]["accuracy_drop"] is None


def test_a_failure_leaves_nothing_under_the_final_names(
    cifar: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*FILES, "notes.txt"):
        (tmp_path / name).write_text("of an earlier export, or of the user")
    shifted = dataclasses.replace(cifar.student.preprocessing, mean=(0.6, 0.4, 0.5))
    reference = TorchRuntime(dataclasses.replace(cifar.student, preprocessing=shifted))
    monkeypatch.setattr("exporters.runtimes.TorchRuntime", lambda student: reference)
    with pytest.raises(GateError, match=r"model\.onnx is not the student: largest error") as caught:
        export_checkpoint(Checkpoint(cifar.student), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "rejected"]
    report = json.loads((tmp_path / "rejected" / "parity.json").read_text())
    assert not report["fp32"]["passed"] and "rejected" in str(caught.value.remedy)


def test_a_folder_without_images(cifar: Exported, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnavailableError, match="no images here"):
        export_checkpoint(Checkpoint(cifar.student), tmp_path / "out", data=tmp_path / "empty")
    assert not (tmp_path / "out").exists()
