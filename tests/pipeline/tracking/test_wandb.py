"""Offline files of Weights & Biases, read back record by record."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.console import Console
from pipeline.tracking.live import resend
from pipeline.tracking.registry import make_tracker
from tests.pipeline.tracking.conftest import STUDENT, StoredRun, epoch, expected, tracked_by
from tests.pipeline.tracking.wandb_files import history, records


@pytest.fixture(autouse=True)
def _no_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)


def files_of(run: StoredRun) -> list[Path]:
    return sorted(
        (run.described.directory / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime
    )


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run that was sent in two parts, as after an interruption: its library starts a process each time."""
    recipe = tracked_by("wandb", project="bird/house", artifacts=["recipe"], group="a group", wandb={"mode": "offline"})
    run = StoredRun(tmp_path_factory.mktemp("wandb") / "first", recipe)
    run.finish(until="teacher")
    hooks, leave = sys.excepthook, sys.exit
    resend(run.directory, recipe, Console(io.StringIO(), plain=True))
    run.finish()
    resend(run.directory, recipe, Console(io.StringIO(), plain=True))
    assert (sys.excepthook, sys.exit) == (hooks, leave)
    return run


def test_history_is_the_figures_of_the_metrics_file_each_once(sent: StoredRun) -> None:
    lines = [line for path in files_of(sent) for line in history(path)]
    assert [step for step, _ in lines] == [1, 2, 3, 4], "no step twice, also over two files"
    found: dict[tuple[str, int], float] = {}
    for _step, values in lines:
        (axis,) = [name for name in values if name.endswith("/epoch")]
        found |= {(name, values[axis]): value for name, value in values.items() if name != axis}
    assert found == expected(sent)


def test_both_files_are_of_one_run(sent: StoredRun) -> None:
    begun = [
        record.run for path in files_of(sent) for record in records(path) if record.WhichOneof("record_type") == "run"
    ]
    assert len(files_of(sent)) == 2 and len({run.run_id for run in begun}) == 1
    assert {(run.project, run.run_group, run.display_name) for run in begun} == {(begun[0].project, "a group", "first")}
    assert begun[0].project.startswith("bird_house")
    config = {item.key: json.loads(item.value_json) for item in begun[0].config.update}
    assert config["recipe"] == dict(sent.described.parameters) and config["version"] == sent.described.tags["version"]
    assert any(tag.startswith("version:") for tag in begun[0].tags)


def test_summary_exit_and_files_tell_the_result(sent: StoredRun) -> None:
    found: dict[str, Any] = {}
    codes = []
    for record in records(files_of(sent)[-1]):
        kind = record.WhichOneof("record_type")
        if kind == "summary":
            found |= {item.key: json.loads(item.value_json) for item in record.summary.update}
        elif kind == "exit":
            codes.append(record.exit.exit_code)
    assert found["final/student/test/top1"] == 0.5625 and found["state"] == "shipped"
    assert codes == [0]
    copied = files_of(sent)[-1].parent / "files" / "recipe.lock.yaml"
    assert copied.read_bytes() == (sent.directory.path / "recipe.lock.yaml").read_bytes()


def test_an_epoch_is_on_the_disk_once_it_was_sent(tmp_path: Path) -> None:
    """What the library's process has not written is lost where this process is killed."""
    run = StoredRun(tmp_path / "r", tracked_by("wandb", wandb={"mode": "offline"}))
    tracker = make_tracker("wandb", run.described)
    known = tracker.open(None)
    many = [epoch(number, f"race/{number} a", **{f"loss {figure}": 1 / number for figure in range(40)})
            for number in range(1, 31)]  # fmt: skip
    tracker.send(many, 1)
    (file,) = files_of(run)
    assert file.stat().st_size > 32768, "more than one block"
    assert [step for step, _ in history(file)] == [*range(1, 31)]
    assert all(map(tracker.has, many))
    assert not tracker.has(epoch(31, "race/31 a")) and not tracker.has(epoch(3, "race/30 a"))
    tracker.close()
    again = make_tracker("wandb", run.described)
    assert again.open(known) == known and again.has(many[0]), "also of an earlier process"
    again.close()


def test_mode_is_the_key_then_the_environment_then_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = StoredRun(tmp_path / "a", tracked_by("wandb")).described
    offline = StoredRun(tmp_path / "b", tracked_by("wandb", wandb={"mode": "offline"})).described
    assert "wandb sync" in make_tracker("wandb", plain).hint
    monkeypatch.setenv("WANDB_MODE", "online")
    assert "wandb sync" not in make_tracker("wandb", plain).hint
    assert "wandb sync" in make_tracker("wandb", offline).hint
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert make_tracker("wandb", plain).off and not make_tracker("wandb", offline).off


def test_online_without_an_account_is_no_question_but_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    run = StoredRun(tmp_path / "r", tracked_by("wandb", wandb={"mode": "online"}))
    run.train("distill", STUDENT)
    with pytest.raises(RuntimeError, match="WANDB_API_KEY"):
        make_tracker("wandb", run.described).open(None)
