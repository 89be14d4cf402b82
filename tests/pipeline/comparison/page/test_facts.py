from pathlib import Path

from exporters.core.files import write_json
from pipeline.comparison.page.facts import read_comparison
from pipeline.comparison.planned import RESULT
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.comparison.making import make_folder


def test_finished_comparison_has_all_its_runs_and_the_weaknesses_of_its_report(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp")
    write_json(tmp_path / "cmp" / RESULT, {"weaknesses": ["the teacher is weak"]})
    facts = read_comparison(tmp_path / "cmp")
    assert facts.missing == {} and facts.comparison is not None
    assert facts.comparison.weaknesses == ("the teacher is weak",)
    assert [len(each.arm.seeds) for each in facts.figures] == [2, 2, 2]
    assert facts.index is not None and facts.index.classes == ["ant", "bee", "cow"]


def test_comparison_without_a_finished_run_has_no_figures(tmp_path: Path) -> None:
    missing = [(arm, 0) for arm in ("ce", "kd", "tmkd on kd")]
    make_folder(tmp_path / "cmp", seeds=(0,), missing=missing)
    facts = read_comparison(tmp_path / "cmp")
    assert (facts.comparison, facts.figures, facts.index, facts.first_runs) == (None, (), None, {})
    assert len(facts.missing) == 3


def test_run_that_failed_or_was_interrupted_is_missing_for_that_reason(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp")
    failed = RunDirectory(tmp_path / "cmp" / "runs" / "kd" / "seed-0")
    failed.write_record(StageRecord("distill", "failed", "0", message="the loss is not finite", gate=True))
    (failed.path / "stages" / "validate.json").unlink()
    stopped = RunDirectory(tmp_path / "cmp" / "runs" / "ce" / "seed-1")
    stopped.write_record(StageRecord("validate", "running", "0"))
    (tmp_path / "cmp" / "runs" / "tmkd-on-kd" / "seed-1" / "recipe.lock.yaml").write_text("data: [")
    facts = read_comparison(tmp_path / "cmp")
    assert set(facts.missing) == {"kd, seed 0", "ce, seed 1", "tmkd on kd, seed 1"}
    assert "not finite" in facts.missing["kd, seed 0"] or "next is the stage" in facts.missing["kd, seed 0"]
    assert {each.arm.name: [seed.seed for seed in each.arm.seeds] for each in facts.figures} == {
        "ce": [0],
        "kd": [1],
        "tmkd on kd": [0],
    }


def test_students_that_are_shown_are_of_the_first_seed_that_all_arms_have(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", seeds=(0, 1, 2), missing=[("kd", 0)])
    runs = read_comparison(tmp_path / "cmp").first_runs
    assert {arm: run.directory.path.name for arm, run in runs.items()} == dict.fromkeys(runs, "seed-1")
    make_folder(tmp_path / "apart", arms=["ce", "kd"], missing=[("kd", 0), ("ce", 1)])
    runs = read_comparison(tmp_path / "apart").first_runs
    assert {arm: run.directory.path.name for arm, run in runs.items()} == {"ce": "seed-0", "kd": "seed-1"}
