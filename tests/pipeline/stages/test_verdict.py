"""The stages `validate`, `export`, `parity` and `bundle`: every figure found again from the files."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.files import read_json, sha256_file
from exporters.onnx.reader import read_onnx
from pipeline.recipe import load_recipe
from pipeline.runner.fingerprint import digest
from pipeline.stages.bundle import identity
from pipeline.stages.shared.images import GOLDEN_IMAGES, golden_images, validation_batches
from pipeline.stages.shared.inputs import read_data
from tests.pipeline.conftest import CLASSES, Outcome, Run, set_
from tests.pipeline.stages.contexts import context_of


def test_the_verdict_is_that_of_the_predictions(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    verdict = read_json(run.directory / "validate" / "verdict.json")
    index = read_json(run.directory / "data" / "index.json")
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        for which in ("chosen", "final"):
            for split, count in (("validation", 12), ("test", 24)):
                correct = predictions[f"{which}.{split}"] == predictions[f"labels.{split}"]
                told = verdict["student"][which][split]
                assert (told["images"], told["correct"]) == (count, correct.sum())
                assert told["top1"] == pytest.approx(correct.mean()) and told["top5"] == 1.0
                assert told["top1_interval"][0] <= told["top1"] <= told["top1_interval"][1]
        chosen, labels = predictions["chosen.test"], predictions["labels.test"]
        for number, name in enumerate(index["classes"]):
            expected = float((chosen[labels == number] == number).mean())
            assert verdict["student"]["per_class_test"][name] == pytest.approx(expected)
    history = read_json(run.directory / "distill" / "history.json")
    assert verdict["chosen_pass"] == history["chosen_pass"]
    chosen_pass = history["passes"][verdict["chosen_pass"] - 1]
    assert verdict["student"]["chosen"]["validation"]["top1"] == pytest.approx(chosen_pass["validation_top1"])
    assert verdict["student"]["final"]["validation"]["top1"] == pytest.approx(history["passes"][-1]["validation_top1"])
    teacher = read_json(run.directory / "teacher" / "report.json")
    assert verdict["teacher"]["validation"]["views"]["rgb"] == pytest.approx(teacher["validation"]["top1"])
    assert verdict["passed"] is True and [gate["key"] for gate in verdict["gates"]] == ["validate.min_top1"]


def test_what_ships_predicts_what_was_judged(finished: tuple[Run, Outcome]) -> None:
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


def test_a_gate_against_the_teacher_is_judged_on_plain_images(run: Run) -> None:
    outcome = run(*set_({"validate.max_drop_from_teacher": 1.0}), "--until", "validate")
    assert outcome.code == 0
    verdict = read_json(run.directory / "validate" / "verdict.json")
    gate = verdict["gates"][1]
    teacher, student = verdict["teacher"]["validation"]["views"]["rgb"], verdict["student"]["chosen"]["validation"]
    assert gate["measured"] == pytest.approx(teacher - student["top1"]) and gate["passed"]


def judged(run: Run, monkeypatch: pytest.MonkeyPatch, hits: int, min_top1: object) -> Outcome:
    """The stage `validate` on a student that has so many of 12 images right, 4 of each of 3 classes."""
    labels = np.arange(12) % 3
    answers = np.where(np.arange(12) < hits, labels, (labels + 1) % 3)
    logits = np.eye(3, dtype=np.float32)[answers]
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments: (logits, labels))
    return run(*set_({"validate.min_top1": min_top1}), "--force", "validate", "--until", "validate")


def test_a_student_at_chance_level_fails_where_the_recipe_sets_no_bound(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 95 % Wilson interval of 7 in 12: 32.0 to 80.7 %; chance level is 33.3 %.
    outcome = judged(run, monkeypatch, 7, "null")
    assert outcome.code == 3 and "Traceback" not in outcome.err
    assert "the student is at chance level: 58.33 % (95 % interval 32.0 to 80.7) on 12 validation images" in outcome.err
    assert "validate.min_top1=0 lets any student pass" in outcome.err
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert verdict["passed"] is False and verdict["learned"] == {"validation": False, "test": False}
    assert not (run.directory / "bundle").exists()
    planned = run.plan({"validate.min_top1": "null"})
    assert planned["validate"][0] == "fail" and "at chance level" in planned["validate"][1]
    assert planned["bundle"] == ("wait", "is not reached while validate fails")


def test_above_chance_level_it_passes_without_a_bound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # 8 in 12: 39.1 to 86.2 %.
    outcome = judged(run, monkeypatch, 8, "null")
    assert outcome.code == 0 and "above chance level" in outcome.out and "WARNING" not in outcome.out
    assert read_json(run.directory / "validate" / "verdict.json")["learned"] == {"validation": True, "test": True}


def test_a_bound_of_the_recipes_own_lets_it_pass_with_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = judged(run, monkeypatch, 4, 0)
    assert outcome.code == 0
    assert "WARNING: the student is at chance level: 33.33 %" in outcome.out


def test_export_honours_the_opset_and_explains_every_tensor(run: Run) -> None:
    outcome = run(*set_({"export.onnx.opset": 18}), "--until", "parity")
    assert outcome.code == 0 and outcome.stages_run == ["export", "parity"]
    model = read_onnx((run.directory / "export" / "model.onnx").read_bytes())
    assert model.opsets[""] == 18
    audit = read_json(run.directory / "export" / "audit.json")
    assert len(audit["initializers"]) == len(model.tensors)


def test_parity_is_proved_on_the_whole_validation_split(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    report = read_json(run.directory / "parity" / "parity.json")["fp32"]
    assert report["split"] == "validation" and report["whole"]["images"] == 12 and report["passed"] is True
    assert report["whole"]["top1_agreement"] == 1.0 and 0 <= report["whole"]["max_scaled_error"] <= 1e-4
    batches = list(validation_batches(read_data(context_of(run))))
    images, labels, names = batches[0]
    assert len(batches) == 1 and images.shape == (12, 32, 32, 3) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert all(name.startswith("val/") for name in names)


def test_a_provider_that_is_not_there_is_no_silent_cpu(run: Run) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
    outcome = run(*set_({"parity.provider": "cuda"}), "--until", "parity")
    assert outcome.code == 4 and "cuda" in outcome.err.lower() and "Traceback" not in outcome.err


def test_the_manifest_tells_where_the_student_came_from(finished: tuple[Run, Outcome]) -> None:
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
    assert "arXiv 2603.24208" in facts["provenance"] and "our reconstruction" in facts["provenance"]
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert facts["metrics"]["test top-1"] == verdict["student"]["chosen"]["test"]["top1"]
    for split in ("validation", "test"):
        told, measured = facts["results"][split], verdict["student"]["chosen"][split]
        assert (told["images"], told["correct"]) == (measured["images"], measured["correct"])
        for key in ("images", "correct"):
            assert sum(entry[key] for entry in told["per_class"].values()) == told[key]
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


def test_golden_images_are_of_the_validation_split(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    data = read_data(context_of(run))
    images = golden_images(data)
    assert images.shape == (16, 32, 32, 3) and images.dtype == np.uint8
    whole = next(validation_batches(data))[0]
    assert np.array_equal(images[:12], whole) and np.array_equal(images[12:], whole[:4])  # repeated where fewer
    with np.load(run.directory / "bundle" / "golden" / "inputs.npz") as golden:
        assert np.array_equal(golden["image"], images)


def test_a_diverged_student_does_not_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    diverged = np.full((12, 3), np.nan, dtype=np.float32), np.zeros(12, dtype=np.int64)
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments: diverged)
    outcome = run("--force", "validate", "--until", "validate")
    assert outcome.code == 3 and "its logits are not finite" in outcome.err and "train.lr" in outcome.err
