import pytest

from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from pipeline.stages.fusion import FusionStage, show_teacher
from tests.pipeline.conftest import Outcome, Run, set_
from tests.pipeline.stages.contexts import context_of


def test_the_teacher_is_measured_before_training(finished: tuple[Run, Outcome]) -> None:
    run, outcome = finished
    measured = read_json(run.directory / "fusion" / "accuracy.json")
    assert set(measured) == {"train", "validation", "test"}
    assert measured["train"]["images"] == 48 and measured["validation"]["images"] == 12
    assert measured["test"]["images"] == 24
    report = read_json(run.directory / "teacher" / "report.json")
    assert measured["validation"]["views"]["rgb"] == pytest.approx(report["validation"]["top1"])
    assert sum(measured["validation"]["mean_weights"].values()) == pytest.approx(1)
    assert "fusing the views" in outcome.out or "Fusing the views" in outcome.out
    assert measured["test"]["chance"] == pytest.approx(1 / 3)


def test_the_teacher_is_shown_as_it_was_measured(finished: tuple[Run, Outcome]) -> None:
    context = context_of(finished[0])
    values = {
        "images": 200, "chance": 0.1, "views": {"edge": 0.25, "high_frequency": 0.5, "rgb": 0.75},
        "fused": 0.875, "oracle": 0.9,
    }  # fmt: skip
    show_teacher(
        context, {"train": values, "validation": {**values, "fused": 0.7}, "test": values}, ["No gain from fusing."]
    )
    text = context.console._rich.file.getvalue()  # type: ignore[attr-defined]
    rows = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in text.splitlines()]
    assert ["top-1 of the teacher, %", "rgb", "edge", "high_frequency", "fused", "oracle", "images"] in rows
    assert not any(row[0] == "test" for row in rows)  # the test split is looked at when all choices are made
    assert ["train", "75.00", "25.00", "50.00", "87.50", "90.00", "200"] in rows
    assert "WARNING: No gain from fusing." in text and "Fusing the views LOWERS" in text
    assert text.startswith("Teacher accuracy before distillation")


def test_methods_on_the_image_alone_share_one_measurement(run: Run) -> None:
    assert run("--set", "distill.method=kd", "--until", "fusion").stages_run == ["fusion"]
    for values in ({"distill.method": "cat_kd"}, {"distill.views": "{}"}):
        assert run.plan(values)["fusion"][0] == "reuse"
    assert list(read_json(run.directory / "fusion" / "accuracy.json")["validation"]["views"]) == ["rgb"]


def test_fusion_depends_on_the_text_teacher_only_where_it_weighs_views() -> None:
    stage = FusionStage()
    upstream = {
        by: stage.upstream(load_recipe("quickstart", [f"distill.weighting.by={by}"]).recipe)
        for by in ("image_text", "text", "uniform")
    }
    assert upstream == {
        "image_text": ("data", "baseline", "teacher", "text"),
        "text": ("data", "baseline", "teacher", "text"),
        "uniform": ("data", "baseline", "teacher"),
    }  # fmt: skip


def test_the_student_is_judged_by_the_measured_teacher(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    measured = read_json(run.directory / "fusion" / "accuracy.json")
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert verdict["teacher"] == {split: measured[split] for split in ("validation", "test")}


def test_another_seed_repeats_no_measurement(run: Run) -> None:
    outcome = run(*set_({"seed": 9}), "--until", "distill")
    assert outcome.code == 0 and outcome.stages_run == ["distill"]


@pytest.mark.parametrize("on_weak", ["warn", "fail"])
def test_weak_teacher_is_reported_and_may_end_the_run(run: Run, on_weak: str) -> None:
    outcome = run(*set_({"student.baseline": 1.0, "teacher.on_weak": on_weak}), "--until", "distill")
    warning = "is WEAKER than the student without it on 12 images"
    if on_weak == "warn":
        assert outcome.code == 0 and outcome.stages_run == ["fusion"] and warning in outcome.out
    else:
        assert outcome.code == 3 and warning in outcome.err and "teacher.on_weak=warn" in outcome.err
        assert outcome.stages_run == ["fusion"]
    assert (run.directory / "fusion" / "accuracy.json").is_file()
