"""The stage `teacher`: what is fitted, what is loaded, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from exporters.core.files import read_json, sha256_file
from exporters.student.student import load_student
from pipeline.recipe import load_recipe
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.teacher import TeacherStage, fit_views
from tests.pipeline.conftest import Outcome, Run, set_
from tests.pipeline.stages.contexts import context_of


def test_saved_teacher_is_the_measured_one(finished: tuple[Run, Outcome]) -> None:
    import torch

    run, outcome = finished
    report = read_json(run.directory / "teacher" / "report.json")
    teacher = load_student(run.directory / "teacher")
    assert teacher.labels == ["blue bar", "green square", "red disc"]
    assert report["parameters"] == sum(p.numel() for p in teacher.module.parameters())
    assert (report["weights"], report["weights_sha256"], report["fitted"]) == ("none", None, True)
    data = read_data(context_of(run))
    batch = next(data.loader.evaluation_batches("validation", data.geometry, 64))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (teacher.preprocessing.mean, teacher.preprocessing.std))
    with torch.no_grad():
        logits = teacher.module((batch.images / 255 - mean) / std)
    top1 = float((logits.argmax(dim=1) == batch.labels).double().mean())
    assert top1 == pytest.approx(report["validation"]["top1"])
    assert f"validation top-1 {100 * top1:.2f} %" in outcome.out
    # The epoch that was best on validation is kept, not the last.
    assert top1 == max(row["validation_top1"] for row in report["history"]) and len(report["history"]) == 3
    assert top1 > 0.5


def test_teacher_from_a_file_is_used_unchanged(run: Run) -> None:
    own = run.directory.parent / "teacher.safetensors"
    (run.directory / "teacher" / "student.safetensors").rename(own)
    values = {"teacher.visual.weights": own, "teacher.visual.fit": "null"}
    outcome = run(*set_(values), "--until", "teacher")
    assert outcome.code == 0 and outcome.stages_run == ["teacher"] and "images/s" not in outcome.out
    report = read_json(run.directory / "teacher" / "report.json")
    assert report["fitted"] is False and report["history"] == []
    assert (report["weights"], report["weights_sha256"]) == (own.name, sha256_file(own))
    own_weights, saved = load_file(own), load_file(run.directory / "teacher" / "student.safetensors")
    assert all(np.array_equal(own_weights[key], saved[key]) for key in own_weights)
    # Another content under the same name is noticed.
    recipe = load_recipe(run.recipe, [f"{key}={value}" for key, value in values.items()]).recipe
    assert TeacherStage().files(recipe) == {own.name: sha256_file(own)}


def test_missing_and_unfitting_weights_are_refused(run: Run, tmp_path: Path) -> None:
    values = {"teacher.visual.weights": tmp_path / "absent.pth"}
    outcome = run(*set_(values), "--until", "teacher")
    assert outcome.code == 4 and "absent.pth" in outcome.err
    student = run.directory / "distill" / "chosen" / "student.safetensors"
    values = {"teacher.visual.weights": student, "teacher.visual.model": "cifar:resnet14"}
    outcome = run(*set_(values), "--until", "teacher")
    assert outcome.code == 4 and "does not fit" in outcome.err and "Traceback" not in outcome.err


def test_teacher_with_foreign_keys_is_proved_or_refused(run: Run, tmp_path: Path) -> None:
    import torch

    from exporters.student.student import load_student

    own = load_student(run.directory / "teacher").module.state_dict()
    right = {f"_{key}": value for key, value in own.items() if not key.endswith("num_batches_tracked")}
    torch.save({"state_dict": right}, tmp_path / "right.pth")
    torch.save({"state_dict": {key: torch.zeros_like(value) for key, value in right.items()}}, tmp_path / "no.pth")
    values = {"teacher.visual.weights": tmp_path / "right.pth", "teacher.visual.fit": "null"}
    outcome = run(*set_(values), "--until", "teacher")
    assert outcome.code == 0, outcome.err
    assert f"all {len(right)} shapes agree in their order" in outcome.out
    assert f"this proves the mapping of {len(right)} keys" in outcome.out
    outcome = run(*set_({**values, "teacher.visual.weights": tmp_path / "no.pth"}), "--until", "teacher")
    assert outcome.code == 4 and "mapped by order, which the accuracy does not prove" in outcome.err


def test_teacher_is_fitted_on_all_views(run: Run) -> None:
    plain = load_file(run.directory / "teacher" / "student.safetensors")
    report = read_json(run.directory / "teacher" / "report.json")
    assert (report["fitted_on"], report["validation_per_view"]) == (["rgb"], "fusion/accuracy.json")
    values = {"teacher.visual.fit.views": "true"}
    outcome = run(*set_(values), "--until", "fusion")
    assert outcome.code == 0 and outcome.stages_run == ["teacher", "fusion"], outcome.err
    report = read_json(run.directory / "teacher" / "report.json")
    assert report["fitted_on"] == ["rgb", "edge", "high_frequency"]
    taught = load_file(run.directory / "teacher" / "student.safetensors")
    assert any(not np.array_equal(plain[key], taught[key]) for key in plain)
    # It is measured on the image itself, and view by view by the next stage.
    measured = read_json(run.directory / report["validation_per_view"])["validation"]["views"]
    assert measured["rgb"] == pytest.approx(report["validation"]["top1"])
    assert set(measured) == set(report["fitted_on"])
    # Views are a part of what it follows from, and only then.
    assert run.plan({**values, "distill.views.edge.strength": 0.5})["teacher"][0] == "run"
    assert "distill.views" not in str(TeacherStage().parameters(load_recipe(run.recipe).recipe))


def test_fit_on_views_of_the_image_alone_is_the_plain_fit(run: Run) -> None:
    gone = {"distill.views.edge": "null", "distill.views.high_frequency": "null"}
    assert run.plan({"teacher.visual.fit.views": "true", **gone})["teacher"][0] == "reuse"


def test_fit_left_open_shows_the_views_that_the_method_uses() -> None:
    def fit(*overrides: str) -> tuple[bool, list[str], dict]:
        recipe = load_recipe("quickstart", ["teacher.visual.fit.views=null", *overrides]).recipe
        lock = recipe.resolved()["teacher"]["visual"]["fit"]["views"]
        return lock, list(fit_views(recipe).names), dict(TeacherStage().parameters(recipe))

    shown, views, under_tmkd = fit()
    five = ["rgb", "edge", "high_frequency", "zoom", "flip"]
    assert shown is True and views == five and "distill.views.edge.strength" in under_tmkd
    shown, views, under_kd = fit("distill.method=kd")
    assert shown is False and views == ["rgb"] and not any(key.startswith("distill.views") for key in under_kd)
    # On the image alone, the teacher of the reference of TMKD is that of the other methods.
    assert fit("distill.views={edge: null, high_frequency: null}") == (False, ["rgb"], under_kd)
    assert fit("teacher.visual.fit.views=false") == (False, ["rgb"], under_kd)
    assert fit("distill.method=kd", "teacher.visual.fit.views=true")[2] == under_tmkd


def test_early_stop_of_each_fit_is_reported(run: Run) -> None:
    # A rate of next to nothing: no epoch is better than the first.
    still = {"lr": 1e-12, "epochs": 6, "early_stop": 2}
    values = {f"{section}.{key}": value for section in ("teacher.visual.fit", "teacher.text.fit", "train")
              for key, value in still.items()}  # fmt: skip
    outcome = run(*set_(values), "--until", "distill")
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    epochs = {stage: max(row["epoch"] for row in lines if row["stage"] == stage) for stage in ("teacher", "distill")}
    for stage, file in (("teacher", "report.json"), ("text", "report.json"), ("distill", "history.json")):
        assert read_json(run.directory / stage / file)["stopped_early"] is True, stage
    assert outcome.out.count("stopped after epoch") == 3
    history = read_json(run.directory / "distill" / "history.json")
    assert len(history["epochs"]) == epochs["distill"] == history["chosen_epoch"] + 2 < 6
    assert f"epoch {history['chosen_epoch']} of {epochs['distill']} was chosen" in outcome.out


def test_missing_device_is_refused(run: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    outcome = run(*set_({"device": "cuda"}), "--force", "teacher")
    assert outcome.code == 4 and "device: cuda" in outcome.err and "device=auto" in outcome.err


def test_fit_depends_on_more_settings_than_weights_do() -> None:
    stage = TeacherStage()
    fitted = stage.parameters(load_recipe("quickstart").recipe)
    as_it_is = load_recipe("quickstart", ["teacher.visual.fit=null", "teacher.visual.weights=imagenet"]).recipe
    assert {"data.split_seed", "data.augment.crop", "train.precision"} <= set(fitted) - set(stage.parameters(as_it_is))
    assert "seed" not in fitted  # seeds of a comparison share their teachers
