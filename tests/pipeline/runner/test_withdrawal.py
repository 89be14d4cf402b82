from pathlib import Path

from pipeline.runner.planning import decide
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.withdrawal import withdraw_bundle
from tests.pipeline.runner.stages import Copying


def packed(path: Path) -> RunDirectory:
    (path / "bundle").mkdir()
    (path / "bundle" / "model.onnx").write_text("")
    (path / "bundle.tar").write_text("")
    run = RunDirectory(path)
    run.write_record(StageRecord("bundle", "done", "f", {"code": "1"}, {"bundle/model.onnx": "0"}))
    return run


def test_withdrawn_bundle_is_gone_and_the_plan_says_why(tmp_path: Path) -> None:
    run = packed(tmp_path)
    withdraw_bundle(run, "validate")
    assert not (tmp_path / "bundle").exists() and not (tmp_path / "bundle.tar").exists()
    record = run.record("bundle")
    assert record is not None and record.status == "failed" and not record.gate
    planned = decide(Copying("bundle"), run, record, {"code": "1"})
    assert (planned.action, planned.why) == ("run", ("was withdrawn when validate failed at its gate",))


def test_bundle_that_fails_at_its_own_gate_keeps_its_record(tmp_path: Path) -> None:
    run = packed(tmp_path)
    withdraw_bundle(run, "bundle")
    record = run.record("bundle")
    assert record is not None and record.status == "done" and not (tmp_path / "bundle.tar").exists()


def test_run_without_a_bundle_gets_no_record_of_one(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    withdraw_bundle(run, "validate")
    assert run.record("bundle") is None
