"""Stage `bundle`: what the bundle predicts, and what it says of its student."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.files import read_json, sha256_file
from pipeline.recipe import load_recipe
from pipeline.runner.fingerprint import digest
from pipeline.stages.bundle import identity
from pipeline.stages.shared.images import GOLDEN_IMAGES
from tests.pipeline.conftest import CLASSES, Outcome, Run


def test_bundle_predictions_equal_those_of_the_verdict(finished: tuple[Run, Outcome]) -> None:
    """From the files of the data set, through the bundle alone, to the verdict's figure on the test split."""
    run, _ = finished
    student = Student.load(run.directory / "bundle")
    hits = [
        student.predict(path)[0][0] == kind.replace("_", " ")
        for kind in CLASSES
        for path in sorted((run.data / "test" / kind).iterdir())
    ]
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert np.mean(hits) == pytest.approx(verdict["student"]["chosen"]["test"]["top1"])


def test_manifest_states_where_the_student_came_from(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    manifest = read_json(run.directory / "bundle" / "manifest.json")
    facts = manifest["facts"]
    lock = run.directory / "recipe.lock.yaml"
    for same in ([], ["data.root=elsewhere"], ["device=cpu", "data.workers=3"]):
        assert facts["recipe_sha256"] == digest(identity(load_recipe(lock, same).recipe))
    for other in ("seed=5", "train.lr=0.3", "bundle.licence=MIT", "distill.views.edge=null"):
        assert facts["recipe_sha256"] != digest(identity(load_recipe(lock, [other]).recipe))
    assert facts["data_fingerprint"] == read_json(run.directory / "data" / "index.json")["fingerprint"]
    assert facts["licences"] == {"weights": "CC0-1.0", "data": None, "code": "Apache-2.0"}
    assert facts["data"] == {"name": "folder", "classes": 3, "train": 48, "validation": 12, "test": 24}
    assert facts["teacher"]["visual"]["model"] == "cifar:resnet8" and "text" in facts["teacher"]
    assert facts["teacher"]["visual"]["views"] == read_json(run.directory / "fusion" / "views.json")["views"]
    assert "arXiv 2603.24208" in facts["provenance"] and "our reconstruction" in facts["provenance"]
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert facts["metrics"]["test top-1"] == verdict["student"]["chosen"]["test"]["top1"]
    for split in ("validation", "test"):
        stated, measured = facts["results"][split], verdict["student"]["chosen"][split]
        assert (stated["images"], stated["correct"]) == (measured["images"], measured["correct"])
        for key in ("images", "correct"):
            assert sum(entry[key] for entry in stated["per_class"].values()) == stated[key]
    for name, entry in facts["results"]["test"]["per_class"].items():
        assert entry["correct"] / entry["images"] == pytest.approx(verdict["student"]["per_class_test"][name])
    assert facts["teacher"]["text"]["source"] == "small_clip.json fit"  # and not where that lies
    assert manifest["files"]["model.onnx"]["sha256"] == sha256_file(run.directory / "export" / "model.onnx")
    card = (run.directory / "bundle" / "MODEL_CARD.md").read_text()
    assert "CC0-1.0" in card and "reconstruction" in card


def test_the_archive_holds_the_same_bundle(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    run, _ = finished
    with tarfile.open(fileobj=io.BytesIO((run.directory / "bundle.tar").read_bytes())) as archive:
        archive.extractall(tmp_path, filter="data")
    assert verify_bundle(tmp_path / "bundle").golden_images == GOLDEN_IMAGES
