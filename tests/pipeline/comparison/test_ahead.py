import io
from pathlib import Path

from pipeline.comparison.ahead import show_ahead
from pipeline.console import Console
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory


def finished(path: Path, seconds: float) -> RunDirectory:
    run = RunDirectory(path)
    run.write_record(StageRecord("teacher", "done", "f", seconds=9000.0))  # shared by all
    run.write_record(StageRecord("distill", "done", "f", seconds=seconds))
    run.write_record(StageRecord("validate", "done", "f", seconds=6.0))
    return run


def shown(runs: list[tuple[str, RunDirectory, bool]]) -> list[str]:
    out = io.StringIO()
    show_ahead(runs, Console(out))
    return out.getvalue().splitlines()


def test_minutes_left_follow_from_the_seeds_that_are_finished(tmp_path: Path) -> None:
    new = RunDirectory(tmp_path / "new")
    runs = [
        ("ce", finished(tmp_path / "a", 54.0), True), ("kd", new, False), ("ce", finished(tmp_path / "b", 174.0), True),
        ("ce", new, False), ("ce", new, False), ("tmkd", finished(tmp_path / "c", 1.0), True),
    ]  # fmt: skip
    lines = shown(runs)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert ["ce", "2", "2", "4.0"] in rows and ["kd", "0", "1", "?"] in rows and ["tmkd", "1", "0", ""] in rows
    assert lines[-2] == "about 4 minutes for 2 of 3 runs, by the seeds that are finished"
    assert lines[-1].startswith("?: known once")


def test_finished_comparison_is_a_line(tmp_path: Path) -> None:
    assert shown([("ce", finished(tmp_path, 1.0), True)]) == ["plan: all 1 runs are finished"]
