import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import sha256_bytes
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory


def test_record_round_trip(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    record = StageRecord("data", "done", "f", {"code": "c"}, {"data/a": "1"}, 1.5, {"images": 3}, "")
    run.write_record(record)
    assert run.record("data") == record
    assert json.loads((tmp_path / "stages" / "data.json").read_text()) == asdict(record)
    run.write_record(replace(record, status="failed", message="no"))
    assert run.record("data") == replace(record, status="failed", message="no")


WHOLE = asdict(StageRecord("data", "done", "f", {"code": "c"}, {"data/a": "1"}, 1.5, {"images": 3}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", "[" * 10_000, '{"stage": "data"}', '{"stage": "data", "colour": "red"}'),
        json.dumps(WHOLE | {"stage": "teacher"}),
        json.dumps(WHOLE | {"fingerprint": None}),
    ],
)
def test_unreadable_record_is_none_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stages" / "data.json"
    path.parent.mkdir()
    path.write_text(json.dumps(WHOLE))
    run = RunDirectory(tmp_path)
    assert run.record("data") is not None and run.damages() == []
    path.write_text(text)
    assert run.record("data") is None and run.why_unrecorded("data") == "its record cannot be read"
    assert run.record("teacher") is None and run.why_unrecorded("teacher") == "it has not run yet"
    assert run.damages() == [f"{path} cannot be read as the record of a stage: data counts as not run"]


def test_unreadable_lines_of_metrics_are_named_and_left_out(tmp_path: Path) -> None:
    run, path = RunDirectory(tmp_path), tmp_path / "metrics.jsonl"
    run.log_metrics("distill", 1, {"loss": 1.0})
    path.write_bytes(path.read_bytes() + b'{"epoch": 2, "loss"')
    assert run.damages() == [f"{path}: line 2 cannot be read, and will be left out"]
    run.log_metrics("distill", 2, {"loss": 2.0})
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2] and not run.damages()


@pytest.fixture(params=["folder", "link to a folder", "link to nothing", "file"])
def odd_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What stands in the place of the folder of the stage `data`, in a run directory; where it leads to is full."""
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "run" / "data"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("someone's")
    place.parent.mkdir()
    if request.param == "folder":
        place.mkdir()
        (place / "index").write_text("ours")
    elif request.param == "file":
        place.write_text("no folder")
    else:
        place.symlink_to(elsewhere if request.param == "link to a folder" else tmp_path / "nothing")
    return place


def test_whatever_stands_for_a_stages_folder_makes_way_for_a_folder(odd_folder: Path) -> None:
    run = RunDirectory(odd_folder.parent)
    run.remove_outputs("data")
    run.folder("data").mkdir()  # nothing is in its place
    assert (odd_folder.parent.parent / "elsewhere" / "kept").read_text() == "someone's"


@pytest.mark.parametrize("made", [False, True])
def test_whatever_stands_for_a_stages_folder_is_set_aside_and_put_back(odd_folder: Path, made: bool) -> None:
    run, was_link = RunDirectory(odd_folder.parent), odd_folder.is_symlink()
    for _ in range(2):  # a second attempt finds what the first one left
        run.set_aside("data")
        run.folder("data").mkdir()
        if made:
            (run.folder("data") / "index").write_text("half")
        run.put_back("data")
        assert odd_folder.is_symlink() is was_link
        assert not list(odd_folder.parent.glob(".kept-*"))
    run.set_aside("data")
    run.folder("data").mkdir()
    run.discard_kept("data")
    assert odd_folder.is_dir() and not odd_folder.is_symlink()
    assert (odd_folder.parent.parent / "elsewhere" / "kept").read_text() == "someone's"


def test_outputs_are_hashed_by_their_path(tmp_path: Path) -> None:
    for name in ("data/a.bin", "data/deep/b.bin", "data/.hidden", "data/.tmp/c.bin", "data/here.json", "other/d.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "extra.tar").write_text("tar")
    found = RunDirectory(tmp_path).hash_outputs("data", ["extra.tar", "absent.tar"], ["data/here.json"])
    assert found == {
        "data/a.bin": sha256_bytes(b"data/a.bin"),
        "data/deep/b.bin": sha256_bytes(b"data/deep/b.bin"),
        "extra.tar": sha256_bytes(b"tar"),
    }


def test_damage_is_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")
    (tmp_path / "data" / "b").write_text("b")
    record = StageRecord("data", "done", "", outputs=run.hash_outputs("data"))
    assert run.damaged_output(record) is None
    (tmp_path / "data" / "b").write_text("B")
    assert run.damaged_output(record) == "data/b was changed"
    (tmp_path / "data" / "a").unlink()
    assert run.damaged_output(record) == "data/a is missing"


def test_metrics_of_an_earlier_attempt_are_replaced(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for stage, pass_ in (("teacher", 1), ("teacher", 2), ("distill", 1), ("distill", 2), ("distill", 3)):
        run.log_metrics(stage, pass_, {"loss": float(pass_), "epoch": pass_})
    run.log_metrics("distill", 2, {"loss": 20.0})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"], line["loss"]) for line in lines] == [
        ("teacher", 1, 1.0), ("teacher", 2, 2.0), ("distill", 1, 1.0), ("distill", 2, 20.0)
    ]  # fmt: skip


def test_metrics_of_an_earlier_version_are_understood(tmp_path: Path) -> None:
    old = [{"stage": "distill", "pass": number, "loss": 1.0} for number in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in old))
    RunDirectory(tmp_path).log_metrics("distill", 2, {"loss": 20.0})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [old[0], {"stage": "distill", "epoch": 2, "loss": 20.0}]


def test_one_process_at_a_time_holds_a_directory(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "new" / "run")
    with run.held():
        assert run.path.is_dir()
        with pytest.raises(UnavailableError, match="held by another run"), RunDirectory(run.path).held():
            raise AssertionError("two hold it")
    with run.held():
        pass
    with pytest.raises(KeyError), run.held():
        raise KeyError
    with run.held():
        pass


def test_only_an_empty_directory_or_a_runs_own_is_written_to(tmp_path: Path) -> None:
    with RunDirectory(tmp_path).held():
        pass  # empty
    (tmp_path / "file").write_text("")
    with RunDirectory(tmp_path).held():
        pass  # known by its .lock
    (tmp_path / ".lock").unlink()
    with pytest.raises(UsageError, match="no run directory"), RunDirectory(tmp_path).held():
        raise AssertionError
    (tmp_path / "recipe.lock.yaml").write_text("")  # a copy without hidden files
    with RunDirectory(tmp_path).held():
        pass


def test_outputs_and_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for name in ("bundle/a", "export/b", "export/.c-1x.tmp.onnx", "export/.keep", "bundle.tar", ".git-x.tmpl/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    run.remove_outputs("bundle", ["bundle.tar", "absent"])
    run.remove_outputs("absent")
    assert not (tmp_path / "bundle").exists() and not (tmp_path / "bundle.tar").exists()
    run.remove_temporaries()
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == [".keep", "b"]


def test_unchanged_outputs_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256_bytes(path.read_bytes())

    monkeypatch.setattr("pipeline.runner.rundir.sha256_file", counted)
    (tmp_path / "data").mkdir()
    output = tmp_path / "data" / "index.json"
    output.write_text("one")
    run = RunDirectory(tmp_path)
    record = StageRecord("data", "done", "", outputs=run.hash_outputs("data"))
    assert run.damaged_output(record) is run.damaged_output(record) is None and hashed == ["index.json"]
    assert RunDirectory(tmp_path).damaged_output(record) is None and len(hashed) == 2
    output.write_text("two")
    os.utime(output, ns=(0, 1))
    assert run.damaged_output(record) == "data/index.json was changed"
    assert run.hash_outputs("data") != record.outputs


def test_directory_of_a_run_that_made_nothing_goes_away(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "runs" / "new")
    with pytest.raises(UsageError, match="no"), run.held():
        raise UsageError("no")
    assert list(tmp_path.iterdir()) == []


def test_directory_that_was_there_or_has_files_stays(tmp_path: Path) -> None:
    there, used = RunDirectory(tmp_path / "there"), RunDirectory(tmp_path / "runs" / "used")
    there.path.mkdir()
    for run in (there, used):
        with pytest.raises(UsageError), run.held():
            if run is used:
                run.write_record(StageRecord("data", "running", "f"))
            raise UsageError("no")
        assert run.path.is_dir()
    assert used.record("data") is not None


def test_process_that_holds_the_directory_is_known(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    assert run.holder() is None
    with run.held():
        assert run.holder() == str(os.getpid())
    assert run.holder() is None


def test_killed_attempt_counts_until_its_last_file(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    record = StageRecord("distill", "running", "f", seconds=100.0)
    run.write_record(record)
    os.utime(tmp_path / "stages" / "distill.json", (1000.0, 1000.0))
    assert run.seconds_spent(record) == 100.0
    run.folder("distill").mkdir()
    (run.folder("distill") / "checkpoint").touch()
    os.utime(run.folder("distill") / "checkpoint", (1030.0, 1030.0))
    assert run.seconds_spent(record) == 130.0
    assert run.seconds_spent(replace(record, status="failed", message="x", seconds=7.0)) == 7.0
