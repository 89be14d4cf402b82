from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from pipeline.stages.distill import DistillStage
from tests.pipeline.conftest import Outcome, Run, set_


def test_the_chosen_pass_is_the_best_on_validation(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    history = read_json(run.directory / "distill" / "history.json")
    scores = [row["validation_top1"] for row in history["passes"]]
    assert len(scores) == 2 and history["chosen_pass"] == 1 + scores.index(max(scores))
    chosen, final = (
        load_file(run.directory / "distill" / which / "student.safetensors") for which in ("chosen", "final")
    )
    same = all(np.array_equal(chosen[key], final[key]) for key in chosen)
    assert same is (history["chosen_pass"] == 2)


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
