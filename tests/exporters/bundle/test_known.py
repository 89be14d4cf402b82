"""Bundles that tell apart images that are none of the classes: what they say is proved as far as it can be."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from exporters.bundle.contents import BundleContents, Known, KnownModel
from exporters.bundle.manifest import SCHEMA
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from tests.exporters.conftest import Exported
from tests.exporters.forging import failure, resealed


@pytest.fixture
def bundle(packed_with_known: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_with_known, tmp_path / "bundle"))


def test_threshold_and_figures_are_packed_and_verified(packed_with_known: Path, cifar: Exported) -> None:
    manifest = verify_bundle(packed_with_known).manifest
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text("utf-8")))
    energies = np.log(np.exp(cifar.logits.astype(np.float64)).sum(axis=1))
    assert manifest["known"]["score"] == "energy" and manifest["known"]["false_alarms"] == 0.2
    assert manifest["known"]["golden"] == pytest.approx(energies[:8], rel=1e-12)
    assert manifest["models"]["model.onnx"]["known"]["threshold"] == pytest.approx(np.sort(energies)[3], rel=1e-12)
    card = (packed_with_known / "MODEL_CARD.md").read_text("utf-8")
    assert "## None of these" in card and "is number 4 of the scores of the 20 validation images" in card
    assert "| drawn noise | 10 | 0.9 (9) |" in card and "| test | 20 | 0.25 (5) |" in card


def test_off_nothing_of_a_bundle_knows_of_it(contents: BundleContents, packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text())
    assert contents.known is None and "known" not in manifest
    assert all("known" not in entry for entry in manifest["models"].values())
    assert "None of these" not in (packed / "MODEL_CARD.md").read_text("utf-8")


def test_max_softmax_is_packed_too(contents: BundleContents, cifar: Exported, tmp_path: Path) -> None:
    shares = np.exp(cifar.logits.astype(np.float64))
    largest = (shares / shares.sum(axis=1, keepdims=True)).max(axis=1)
    model = KnownModel(float(np.sort(largest)[0]), {"validation": 0, "test": 20})
    known = Known("max_softmax", 0.05, {"validation": 20, "test": 20}, {"model.onnx": model})
    pack(replace(contents, known=known), tmp_path / "bundle")
    assert verify_bundle(tmp_path / "bundle").manifest["known"]["golden"] == pytest.approx(largest[:8], rel=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest.pop("known"), "needs a threshold where"),
        (lambda manifest: manifest["models"]["model.onnx"].pop("known"), "needs a threshold where"),
        (lambda manifest: manifest.update(known=None), "manifest.json: known"),
        (lambda manifest: manifest["known"].update(more=1), "no key of a manifest"),
        (lambda manifest: manifest["known"].update(score="entropy"), "manifest.json: known.score"),
        (lambda manifest: manifest["known"].update(score="max_softmax"), "not the scores of golden/outputs.npz"),
        (lambda manifest: manifest["known"].update(false_alarms=0.0), "manifest.json: known.false_alarms"),
        (lambda manifest: manifest["known"].update(false_alarms=0.01), "20 images are too few"),
        (lambda manifest: manifest["known"].update(false_alarms=0.1), "was to refuse fewer than 2"),
        (lambda manifest: manifest["known"]["golden"].reverse(), "not the scores of golden/outputs.npz"),
        (lambda manifest: manifest["known"]["golden"].pop(), "manifest.json: known.golden"),
        (lambda manifest: manifest["known"]["golden"].append(1.0), "not the scores of golden/outputs.npz"),
        (lambda manifest: manifest["known"]["images"].update(validation=30), "the results have others"),
        (lambda manifest: manifest["known"]["images"].pop("test"), "nothing was measured on test"),
        (lambda manifest: manifest["known"]["images"].update(cats=5), "is not of the images that there are"),
        (lambda manifest: _of(manifest)["refused"].update({"drawn noise": 11}), "is not of the images"),
        (lambda manifest: _of(manifest)["refused"].update({"validation": 4}), "was to refuse fewer than 4"),
        (lambda manifest: _of(manifest).update(threshold=1e6), "8 of the golden images are none of the classes"),
        (lambda manifest: _of(manifest).update(threshold=1e10), "manifest.json: models.model.onnx.known.threshold"),
        (lambda manifest: _of(manifest).update(threshold="NaN"), "manifest.json: models.model.onnx.known.threshold"),
    ],
)
def test_forged_manifest_is_refused(bundle: Path, change: Callable[[dict], object], said: str) -> None:
    resealed(bundle, change)  # type: ignore[arg-type]
    assert said in failure(bundle)


def _of(manifest: dict) -> dict:
    found: dict = manifest["models"]["model.onnx"]["known"]
    return found
