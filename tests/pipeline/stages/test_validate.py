"""The stages `validate`, `export`, `parity` and `bundle`: every figure found again from the files."""

import numpy as np
import pytest

from exporters.core.files import read_json, sha256_file
from pipeline.evaluation.corruptions import CORRUPTIONS
from tests.pipeline.conftest import Outcome, Run, set_


def test_the_verdict_is_that_of_the_predictions(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    verdict = read_json(run.directory / "validate" / "verdict.json")
    index = read_json(run.directory / "data" / "index.json")
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        for which in ("chosen", "final"):
            for split, count in (("validation", 12), ("test", 24)):
                correct = predictions[f"{which}.{split}"] == predictions[f"labels.{split}"]
                score = verdict["student"][which][split]
                assert (score["images"], score["correct"]) == (count, correct.sum())
                assert score["top1"] == pytest.approx(correct.mean()) and score["top5"] == 1.0
                assert score["top1_interval"][0] <= score["top1"] <= score["top1_interval"][1]
        chosen, labels = predictions["chosen.test"], predictions["labels.test"]
        for number, name in enumerate(index["classes"]):
            expected = float((chosen[labels == number] == number).mean())
            assert verdict["student"]["per_class_test"][name] == pytest.approx(expected)
    history = read_json(run.directory / "distill" / "history.json")
    assert verdict["chosen_epoch"] == history["chosen_epoch"]
    chosen_epoch = history["epochs"][verdict["chosen_epoch"] - 1]
    assert verdict["student"]["chosen"]["validation"]["top1"] == pytest.approx(chosen_epoch["validation_top1"])
    assert verdict["student"]["final"]["validation"]["top1"] == pytest.approx(history["epochs"][-1]["validation_top1"])
    teacher = read_json(run.directory / "teacher" / "report.json")
    assert verdict["teacher"]["validation"]["views"]["rgb"] == pytest.approx(teacher["validation"]["top1"])
    assert verdict["passed"] is True and [gate["key"] for gate in verdict["gates"]] == ["validate.min_top1"]


def test_student_is_scored_on_corrupted_test_images_where_asked(run: Run) -> None:
    path = run.directory / "validate" / "verdict.json"
    assert read_json(path)["corruptions"] is None
    outcome = run(*set_({"validate.corruptions": True}), "--until", "validate")
    assert outcome.code == 0 and outcome.stages_run == ["validate"]
    measured = read_json(path)["corruptions"]
    assert measured["images"] == 24 and measured["top1"].keys() == CORRUPTIONS.keys()
    figures = [value for kind in measured["top1"].values() for value in kind.values()]
    assert len(figures) == 18 and measured["mean_top1"] == pytest.approx(np.mean(figures))
    assert all((24 * value) % 1 == pytest.approx(0, abs=1e-9) for value in figures)
    assert f"top-1 {100 * measured['mean_top1']:.2f} %" in outcome.out


def test_a_gate_against_the_teacher_is_judged_on_plain_images(run: Run) -> None:
    outcome = run(*set_({"validate.max_drop_from_teacher": 1.0}), "--until", "validate")
    assert outcome.code == 0
    verdict = read_json(run.directory / "validate" / "verdict.json")
    gate = verdict["gates"][1]
    teacher, student = verdict["teacher"]["validation"]["views"]["rgb"], verdict["student"]["chosen"]["validation"]
    assert gate["measured"] == pytest.approx(teacher - student["top1"]) and gate["passed"]


def judged(run: Run, monkeypatch: pytest.MonkeyPatch, hits: int, min_top1: object) -> Outcome:
    """The stage `validate` on a student with a given number right of 12 images, 4 in each of 3 classes."""
    labels = np.arange(12) % 3
    answers = np.where(np.arange(12) < hits, labels, (labels + 1) % 3)
    logits = np.eye(3, dtype=np.float32)[answers]
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments, **_options: (logits, labels))
    return run(*set_({"validate.min_top1": min_top1}), "--force", "validate", "--until", "validate")


def test_a_student_at_chance_level_fails_where_the_recipe_sets_no_bound(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 95 % Wilson interval of 7 in 12: 32.0 to 80.7 %; chance level is 33.3 %.
    outcome = judged(run, monkeypatch, 7, "null")
    assert outcome.code == 3 and "Traceback" not in outcome.err
    assert (
        "so few images cannot show whether the student is better than chance: 58.33 % (95 % interval 32.0 to 80.7) on"
        " 12 validation images" in outcome.err
    )
    assert "Train longer" not in outcome.err and "Set more images aside (data.validation)" in outcome.err
    assert "validate.min_top1=0 lets any student pass" in outcome.err
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert verdict["passed"] is False and verdict["learned"] == {"validation": False, "test": False}
    assert not (run.directory / "bundle").exists()
    planned = run.plan({"validate.min_top1": "null"})
    assert planned["validate"][0] == "fail" and "better than chance" in planned["validate"][1]
    assert planned["bundle"] == ("wait", "is not reached while validate fails")


def test_above_chance_level_it_passes_without_a_bound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # 8 in 12: 39.1 to 86.2 %.
    outcome = judged(run, monkeypatch, 8, "null")
    assert outcome.code == 0 and "above chance level" in outcome.out and "WARNING" not in outcome.out
    assert read_json(run.directory / "validate" / "verdict.json")["learned"] == {"validation": True, "test": True}


def test_bound_of_the_recipe_lets_it_pass_with_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = judged(run, monkeypatch, 4, 0)  # 13.8 to 60.9 %, which holds 33.3 and 50
    assert outcome.code == 0
    assert "WARNING: so few images cannot show whether the student is better than chance: 33.33 %" in outcome.out
    outcome = judged(run, monkeypatch, 2, 0)  # 4.7 to 44.8 %
    assert outcome.code == 0 and "WARNING: the student is at chance level: 16.67 %" in outcome.out
    assert read_json(run.directory / "validate" / "verdict.json")["faults"] == []


def test_student_that_gives_one_answer_is_recorded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = np.tile(np.float32([1, 2, 0]), (12, 1)), np.arange(12) % 3
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments, **_options: constant)
    assert run(*set_({"validate.min_top1": 0}), "--force", "validate", "--until", "validate").code == 0
    (fault,) = read_json(run.directory / "validate" / "verdict.json")["faults"]
    assert fault == "the student gives the same answer for all 12 images, whatever they show"


def test_a_diverged_student_does_not_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    diverged = np.full((12, 3), np.nan, dtype=np.float32), np.zeros(12, dtype=np.int64)
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments, **_options: diverged)
    outcome = run("--force", "validate", "--until", "validate")
    assert outcome.code == 3 and "its logits are not finite" in outcome.err and "train.lr" in outcome.err


def test_student_below_plain_training_fails_where_the_recipe_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(12) % 3
    answers = np.where(np.arange(12) < 9, labels, (labels + 1) % 3)
    logits = np.eye(3, dtype=np.float32)[answers]
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments, **_options: (logits, labels))
    given = {"student.baseline": 0.8, "distill.on_no_gain": "fail"}
    outcome = run(*set_(given), "--force", "validate", "--until", "validate")
    assert outcome.code == 3 and "Traceback" not in outcome.err
    assert "distillation gains nothing: distill.on_no_gain FAILED: -0.0500 against plain training" in outcome.err
    assert "distill.on_no_gain=fall_back" in outcome.err
    gates = read_json(run.directory / "validate" / "verdict.json")["gates"]
    assert gates[-1]["key"] == "distill.on_no_gain" and gates[-1]["measured"] == pytest.approx(-0.05)
    # The same under a warning, and with a baseline that it reaches.
    outcome = run(*set_({"student.baseline": 0.8}), "--until", "validate")
    assert outcome.code == 0
    assert "WARNING: on validation: against plain training, as student.baseline gives it: -5.00 points" in outcome.out
    assert run(*set_({**given, "student.baseline": 0.75}), "--until", "validate").code == 0


def test_gain_over_plain_training_is_that_of_the_predictions(run: Run) -> None:
    outcome = run("--set", "student.baseline=auto", "--until", "validate")
    assert outcome.code == 0, outcome.err
    verdict = read_json(run.directory / "validate" / "verdict.json")
    plain = verdict["plain"]
    assert (plain["epochs"], plain["of"]) == (1, 2)
    assert (verdict["ships"], verdict["why"], verdict["distilled"]) == ("distilled", None, None)
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        for split in ("validation", "test"):
            right = [predictions[f"{name}.{split}"] == predictions[f"labels.{split}"] for name in ("chosen", "plain")]
            assert plain[split]["top1"] == pytest.approx(right[1].mean())
            gain = plain["gain"][split]
            assert gain["mean"] == pytest.approx(right[0].mean() - right[1].mean())
            assert gain["interval"][0] <= gain["mean"] <= gain["interval"][1]


def test_worst_class_and_calibration_are_judged_on_validation(run: Run) -> None:
    outcome = run(*set_({"validate.min_class_recall": 1.0, "validate.max_ece": 0.0}), "--until", "validate")
    assert outcome.code == 3
    verdict = read_json(run.directory / "validate" / "verdict.json")
    gates = {gate["key"]: gate for gate in verdict["gates"]}
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        answers, labels = predictions["chosen.validation"], predictions["labels.validation"]
        confidence = predictions["confidence.chosen.validation"]
    recalls = [float((answers[labels == label] == label).mean()) for label in range(3)]
    assert gates["validate.min_class_recall"]["measured"] == pytest.approx(min(recalls))
    assert gates["validate.max_ece"]["measured"] == pytest.approx(verdict["student"]["chosen"]["validation"]["ece"])
    assert confidence.min() > 1 / 3 and confidence.max() <= 1


def test_temperature_is_fitted_on_validation_and_the_gate_judges_what_ships(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(scale=2, size=(400, 3))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    sharp = (3 * logits).astype(np.float32), labels  # three times as sure as it is right
    monkeypatch.setattr("pipeline.evaluation.metrics.predict", lambda *_arguments, **_options: sharp)
    arguments = ("--force", "validate", "--until", "validate")
    outcome = run(*set_({"validate.max_ece": 0.1}), *arguments)
    assert outcome.code == 0 and "probabilities are calibrated by temperature" in outcome.out
    verdict = read_json(run.directory / "validate" / "verdict.json")
    calibration = verdict["calibration"]
    assert 2.5 < calibration["temperature"] < 3.5 and calibration["off"] is None
    assert calibration["weights_sha256"] == sha256_file(run.directory / "distill" / "chosen" / "student.safetensors")
    figures = calibration["splits"]["validation"]
    assert verdict["student"]["chosen"]["validation"]["ece"] == pytest.approx(figures["ece_before"])
    (gate,) = [gate for gate in verdict["gates"] if gate["key"] == "validate.max_ece"]
    assert gate["measured"] == figures["ece_after"] < figures["ece_before"] / 3
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        sure = predictions["confidence.calibrated.test"]
        assert (predictions["chosen.test"] == logits.argmax(axis=1)).all()
    divided = np.exp(sharp[0].astype(np.float64) / calibration["temperature"])
    np.testing.assert_allclose(sure, (divided / divided.sum(axis=1, keepdims=True)).max(axis=1), rtol=1e-6)
    outcome = run(*set_({"validate.max_ece": 0.1, "validate.calibrate": False}), *arguments)
    assert outcome.code == 3 and "validate.max_ece FAILED" in outcome.err
    assert read_json(run.directory / "validate" / "verdict.json")["calibration"] is None
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        assert not [name for name in predictions.files if "calibrated" in name]
