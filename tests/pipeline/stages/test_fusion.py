import pytest

from exporters.core.files import read_json
from pipeline.evaluation.temperature import TEMPERATURES
from pipeline.recipe import load_recipe
from pipeline.stages.distill import DistillStage
from pipeline.stages.fusion import FusionStage, show_teacher
from pipeline.stages.shared.teachers import read_teacher
from pipeline.tmkd.choice import FusionChoice
from pipeline.tmkd.views.candidates import CANDIDATES
from pipeline.training.device import make_fabric
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
    # What the recipe settles is written down as it stands.
    assert read_json(run.directory / "fusion" / "views.json") == {
        "views": {
            "edge": {"kind": "edge", "strength": 0.25, "operator": "sobel", "mode": "enhance"},
            "high_frequency": {
                "kind": "high_frequency", "cutoff": 0.25, "strength": 0.5, "filter": "fft", "mode": "enhance"
            },
        },
        "temperature": 0.3,
        "statistics": None,
    }  # fmt: skip


def test_the_teacher_is_shown_as_it_was_measured(finished: tuple[Run, Outcome]) -> None:
    context = context_of(finished[0])
    values = {
        "images": 200, "chance": 0.1, "views": {"edge": 0.25, "high_frequency_weak": 0.5, "rgb": 0.75},
        "uniform": 0.86, "fused": 0.875, "oracle": 0.9,
        "nll": {
            "views": {"edge": 2.5, "high_frequency_weak": 1.25, "rgb": 0.7654}, "uniform": 0.7, "fused": 0.65,
            "oracle": 0.5,
        },
        "weights": {"fused": {"distance": 0.1, "entropy": 0.9}, "oracle": {"distance": 0.3, "entropy": 0.5}},
    }  # fmt: skip
    show_teacher(
        context, {"train": values, "validation": {**values, "fused": 0.7}, "test": values}, ["No gain from fusing."]
    )
    text = context.console._rich.file.getvalue()  # type: ignore[attr-defined]
    table = [line for line in text.splitlines() if line[:1] in "┏┃┡│└"]
    assert table and max(map(len, table)) <= 60
    rows = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in table]
    assert ["", "train", "validation"] in rows  # the test split is looked at when all choices are made
    for row in (
        ["view rgb", "75.00 (0.765)", "75.00 (0.765)"],
        ["view high_frequency_weak", "50.00 (1.250)", "50.00 (1.250)"],
        ["uniform weights", "86.00 (0.700)", "86.00 (0.700)"],
        ["weights without labels", "87.50 (0.650)", "70.00 (0.650)"],
        ["weights by labels", "90.00 (0.500)", "90.00 (0.500)"],
        ["images", "200", "200"],
    ):
        assert row in rows
    assert rows.index(["view rgb", "75.00 (0.765)", "75.00 (0.765)"]) < rows.index(
        ["view edge", "25.00 (2.500)", "25.00 (2.500)"]
    )
    assert "train: Distance of the views' weights from uniform: 0.10" in text and "validation: Distance of" in text
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


def test_no_more_images_are_looked_at_than_a_point_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.evaluation.sampling.FIRST", 6)
    monkeypatch.setattr("pipeline.evaluation.sampling.images_needed", lambda correct, images: 10)
    outcome = run("--force", "fusion", "--until", "fusion")
    assert outcome.code == 0, outcome.err
    measured = read_json(run.directory / "fusion" / "accuracy.json")
    assert {split: measured[split]["images"] for split in measured} == {"train": 48, "validation": 10, "test": 10}
    assert "test: measured on 10 of 24 images, evenly spread: ± " in outcome.out


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


OPEN = {
    "distill.views": "auto", "distill.weighting.by": "teacher_confidence", "distill.weighting.standardise": "true",
    "distill.weighting.temperature": "auto", "distill.contrast.weight": 0,
}  # fmt: skip


def test_the_student_learns_from_what_was_left_open(run: Run) -> None:
    outcome = run(*set_({**OPEN, "teacher.visual.fit.views": "null"}), "--until", "distill")
    assert outcome.code == 0, outcome.err
    assert outcome.stages_run == ["teacher", "fusion", "distill"]
    report = read_json(run.directory / "teacher" / "report.json")
    assert report["fitted_on"] == ["rgb", "edge", "high_frequency"]
    choice = FusionChoice.model_validate(read_json(run.directory / "fusion" / "views.json"))
    assert set(choice.views) <= set(CANDIDATES) and choice.statistics is not None
    assert choice.temperature in TEMPERATURES and set(choice.statistics) == set(choice.names)
    measured = read_json(run.directory / "fusion" / "accuracy.json")["validation"]
    assert tuple(measured["views"]) == choice.names
    # The promise of `auto`, on the very split.
    assert measured["nll"]["uniform"] <= measured["nll"]["views"]["rgb"] + 1e-6
    assert min(measured["fused"], measured["uniform"]) >= measured["views"]["rgb"]
    (first, *_rest) = read_json(run.directory / "fusion" / "search.json")
    assert set(first["candidates"]) == set(CANDIDATES)
    assert "distill.views: " in outcome.out
    context = context_of(run, **{key.replace(".", "__"): value for key, value in OPEN.items()})
    teacher = read_teacher(context, make_fabric("cpu", "fp32"))
    assert teacher.views.names == choice.names and teacher.rule.temperature == choice.temperature
    assert teacher.rule.statistics == tuple(choice.statistics[name] for name in choice.names)


def test_the_student_follows_from_fusion_only_where_that_decides() -> None:
    def upstream(*overrides: str) -> bool:
        return "fusion" in DistillStage().upstream(load_recipe("quickstart", list(overrides)).recipe)

    assert not upstream()
    for key, value in OPEN.items():
        decides = key in ("distill.views", "distill.weighting.standardise", "distill.weighting.temperature")
        assert upstream(f"{key}={value}") is decides, key
        assert not upstream(f"{key}={value}", "distill.method=kd")
