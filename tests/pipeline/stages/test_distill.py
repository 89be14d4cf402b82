from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from exporters.core.files import read_json, write_json
from pipeline.recipe import load_recipe
from pipeline.stages.distill import DistillStage, choose_student
from tests.pipeline.conftest import Outcome, Run, set_
from tests.pipeline.stages.contexts import context_of


def test_the_chosen_epoch_is_the_best_on_validation(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    history = read_json(run.directory / "distill" / "history.json")
    scores = [row["validation_top1"] for row in history["epochs"]]
    for row in history["epochs"]:  # the scales of the balanced losses
        assert all(row[f"scale_{name}"] > 0 for name in ("logits", "feature", "contrast"))
    assert len(scores) == 2 and history["chosen_epoch"] == 1 + scores.index(max(scores))
    chosen, final = (
        load_file(run.directory / "distill" / which / "student.safetensors") for which in ("chosen", "final")
    )
    same = all(np.array_equal(chosen[key], final[key]) for key in chosen)
    assert same is (history["chosen_epoch"] == 2)


def test_only_the_student_is_saved(finished: tuple[Run, Outcome]) -> None:
    """Later stages read no weights of projections, heads or teachers."""
    from exporters.student.student import load_student

    run, _ = finished
    for which in ("chosen", "final"):
        student = load_student(run.directory / "distill" / which)
        stored = load_file(run.directory / "distill" / which / "student.safetensors")
        assert set(stored) == set(student.module.state_dict())
        assert student.labels == ["blue bar", "green square", "red disc"] and student.name == "tiny"


def test_anchors_from_a_file_need_no_text_stage(run: Run, embeddings_file: Path) -> None:
    values = {"distill.weighting.by": "teacher_confidence", "teacher.text.anchors": embeddings_file}
    outcome = run(*set_(values), "--until", "distill")
    assert outcome.code == 0, outcome.err
    assert run.plan(values)["text"][0] == "skip" and "contrast" in outcome.out
    embeddings_file_name = embeddings_file.name
    recipe = load_recipe(run.recipe, [f"{key}={value}" for key, value in values.items()]).recipe
    assert list(DistillStage().files(recipe)) == [embeddings_file_name]


def test_a_network_without_class_maps_is_refused_by_cat_kd(run: Run) -> None:
    values = {"student.model": "timm:test_vit", "student.arguments": "{img_size: 32, patch_size: 8}"}
    outcome = run(*set_(values), "--until", "distill")
    assert outcome.code == 2, outcome.err
    assert "cat_kd" in outcome.err and "Traceback" not in outcome.err and "kd" in outcome.err


def test_the_chosen_method_counts_as_code() -> None:
    stage = DistillStage()
    assert stage.modules(load_recipe("quickstart").recipe) == (
        "pipeline.distill.methods.cat_kd", "pipeline.distill.methods.tmkd"
    )  # fmt: skip
    assert stage.modules(load_recipe("quickstart", ["distill.method=ce"]).recipe) == ("pipeline.distill.methods.ce",)


def test_plain_training_ignores_distillation_settings() -> None:
    stage = DistillStage()
    plain = [load_recipe("quickstart", ["distill.method=ce", f"distill.logits.temperature={t}"]).recipe for t in (1, 4)]
    assert stage.parameters(plain[0]) == stage.parameters(plain[1])
    taught = [load_recipe("quickstart", [f"distill.logits.temperature={t}"]).recipe for t in (1, 4)]
    assert stage.parameters(taught[0]) != stage.parameters(taught[1])


# A teacher that knows nothing, and a student that learns from it alone.
SPOILT = {
    "teacher.visual.fit.epochs": 1, "teacher.visual.fit.lr": 1e-5, "distill.method": "kd", "distill.ce.weight": 0,
    "train.epochs": 4, "distill.on_no_gain": "fall_back", "student.baseline": "auto",
}  # fmt: skip


def test_plain_student_ships_where_a_spoilt_teacher_does_harm(run: Run) -> None:
    outcome = run(*set_(SPOILT))
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.out.split())
    assert "The teacher is WEAKER than the student without it" in told
    assert (
        "WARNING: the plain student ships, trained from labels alone, because the distilled student was worse" in told
    )
    distill, baseline = run.directory / "distill", run.directory / "baseline"
    histories = [read_json(folder / "history.json") for folder in (distill, baseline, distill / "distilled")]
    shipped, plain, distilled = histories
    assert len(plain["epochs"]) == 4  # the whole schedule, since something follows from it
    assert shipped == plain | {"ships": "plain", "why": shipped["why"]}
    assert distilled["epochs"][0].keys() >= {"loss_logits"}
    for which in ("chosen", "final"):
        ours, theirs = (load_file(folder / which / "student.safetensors") for folder in (distill, baseline))
        assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert (verdict["ships"], verdict["why"]) == ("plain", shipped["why"])
    assert verdict["student"]["chosen"]["test"] == verdict["plain"]["test"]
    gain = verdict["plain"]["gain"]["validation"]["mean"]
    tops = [verdict[name]["validation"]["top1"] for name in ("distilled", "plain")]
    assert gain == pytest.approx(tops[0] - tops[1]) and gain < 0
    card = (run.directory / "bundle" / "MODEL_CARD.md").read_text()
    assert "Method: ce. Trained from labels alone, because the distilled student was worse" in " ".join(card.split())
    manifest = read_json(run.directory / "bundle" / "manifest.json")
    assert manifest["facts"]["teacher"] == {}
    assert "distilled student (does not ship)" in outcome.out and "plain student, epoch" in outcome.out


def test_distilled_student_ships_where_it_is_as_good(run: Run, tmp_path: Path) -> None:
    context = context_of(run)
    for name, scores in (("distill", [0.5, 0.75]), ("plain", [0.75, 0.25])):
        rows = [{"validation_top1": score} for score in scores]
        for which in ("chosen", "final"):
            (tmp_path / name / which).mkdir(parents=True)
            (tmp_path / name / which / "student.json").write_text(name)
        chosen = 1 + scores.index(max(scores))
        write_json(tmp_path / name / "history.json", {"chosen_epoch": chosen, "epochs": rows})
    assert choose_student(context, tmp_path / "distill", tmp_path / "plain") == "distilled"
    history = read_json(tmp_path / "distill" / "history.json")
    assert history["ships"] == "distilled" and "75.00 %, plain training 75.00 %" in history["why"]
    assert (tmp_path / "distill" / "chosen" / "student.json").read_text() == "distill"
    assert not (tmp_path / "distill" / "distilled").exists()


def test_only_falling_back_makes_the_student_follow_from_the_baseline() -> None:
    stage = DistillStage()
    plain, warn, fail, back = (
        load_recipe("quickstart", ["student.baseline=full", *overrides]).recipe
        for overrides in ([], ["distill.on_no_gain=warn", "distill.reference=base"], ["distill.on_no_gain=fail"],
                          ["distill.on_no_gain=fall_back"])
    )  # fmt: skip
    assert stage.parameters(plain) == stage.parameters(warn) == stage.parameters(fail)
    assert "baseline" not in stage.upstream(fail) and "baseline" in stage.upstream(back)
    assert stage.parameters(back) == {**stage.parameters(plain), "distill.on_no_gain": "fall_back"}
