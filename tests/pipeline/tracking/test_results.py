from pathlib import Path

import pytest

from exporters.core.files import write_json
from pipeline.tracking.results import read_results, standing_records
from tests.pipeline.tracking.conftest import StoredRun, make_recipe


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return StoredRun(tmp_path / "r", make_recipe(track={"to": ["mlflow"], "artifacts": ["model", "bundle"]}))


def results(run: StoredRun, until: str | None = None):  # type: ignore[no-untyped-def]
    return read_results(run.directory, run.recipe, standing_records(run.directory, run.recipe), until)


def test_figures_are_those_of_the_verdict(run: StoredRun) -> None:
    run.finish()
    found = results(run)
    assert found.state == "shipped" and found.message == ""
    assert {
        "student/test/top1": 0.5625,
        "student/validation/ece": 0.0625,
        "student/chosen_epoch": 2.0,
        "student last epoch/test/top1": 0.625,
        "plain/test/top1": 0.5,
        "teacher/validation/fused": 0.875,
        "teacher/validation/views/rgb": 0.8125,
        "gates/validate.min_top1/measured": 0.625,
        "gates/validate.min_top1/bound": 0.5,
        "gates/validate.min_top1/passed": 1.0,
    }.items() <= found.values.items()
    assert not [name for name in found.values if name.startswith(("base", "parity", "benchmark"))]


def test_parity_speed_and_size_are_of_the_exported_files(run: StoredRun) -> None:
    run.finish()
    run.write("parity/parity.json", {"fp32": {"whole": {"max_scaled_error": 1e-6, "top1_agreement": 1.0}}, "notes": 1})
    run.write("bundle/benchmark.json", {"runtimes": {"onnxruntime-cpu": {"p50_ms": 0.25}}})
    (run.directory.path / "bundle" / "model.onnx").write_bytes(b"12345")
    found = results(run)
    assert found.values["parity/fp32/max_scaled_error"] == 1e-6 and found.values["parity/fp32/top1_agreement"] == 1.0
    assert found.values["benchmark/onnxruntime-cpu/p50_ms"] == 0.25 and found.values["student/bytes"] == 5
    assert [*found.files] == ["model.onnx"], "bundle.tar is not there"


def test_a_gate_that_failed_refuses_and_says_why(run: StoredRun) -> None:
    run.finish(until="distill")
    run.record("validate", "failed", message="validate.min_top1 FAILED", gate=True)
    found = results(run)
    assert (found.state, found.message) == ("refused", "validate: validate.min_top1 FAILED")


def test_other_ends_have_their_states(run: StoredRun) -> None:
    run.finish(until="distill")
    assert results(run).state == "unfinished"
    assert results(run, until="distill").state == "finished"
    run.record("validate", "running")
    assert results(run).state == "unfinished"
    run.record("validate", "failed", message="the disk is full")
    assert results(run).state == "failed"


def test_records_of_another_recipe_do_not_count_and_those_of_another_version_do(run: StoredRun) -> None:
    run.finish()
    standing = standing_records(run.directory, run.recipe)
    assert {"data", "teacher", "distill", "bundle"} <= {*standing}
    changed = run.recipe.model_copy(update={"seed": 7})
    assert "data" in standing_records(run.directory, changed)
    assert not {"distill", "validate"} & {*standing_records(run.directory, changed)}


def test_figures_of_stages_whose_inputs_have_changed_do_not_count(run: StoredRun) -> None:
    run.finish()
    path = run.directory.path / "stages" / "teacher.json"
    record = run.directory.record("teacher")
    assert record is not None
    write_json(path, {**record.__dict__, "outputs": {"teacher/made": "anew"}})
    assert "distill" not in standing_records(run.directory, run.recipe)
    assert "student/test/top1" not in results(run).values
