"""All files of an export take their names, or none does."""

import os
from pathlib import Path

import pytest

from exporters.command.staging import LOCK, PARITY, Staging, staged
from exporters.core.errors import GateError, UnavailableError

EARLIER = ["model.onnx", "model.int8.onnx", "parity.json", "audit.json", "rejected/model.fp16.onnx",
           "rejected/model.fp16.onnx.json", "rejected/parity.json"]  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    for name in [*EARLIER, "notes.txt", "rejected/mine.txt"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("before")
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write(staging: Staging) -> None:
    for name in ("model.onnx", "model.fp16.onnx", PARITY):
        (staging.final / name).write_text("new")
    (staging.rejected / "model.int8.onnx").write_text("new")


def test_an_earlier_export_is_replaced_as_a_whole(out: Path) -> None:
    with staged(out) as staging:
        assert files(out) == [LOCK, "notes.txt", "rejected/mine.txt"]
        write(staging)
    assert files(out) == [
        "model.fp16.onnx", "model.onnx", "notes.txt", "parity.json", "rejected/mine.txt", "rejected/model.int8.onnx",
    ]  # fmt: skip
    assert (out / "model.onnx").read_text() == "new" and (out / "notes.txt").read_text() == "before"


def test_failed_gate_keeps_the_rejected_files(out: Path) -> None:
    with pytest.raises(GateError, match="planted"), staged(out) as staging:
        write(staging)
        raise GateError("planted")
    assert files(out) == ["notes.txt", "rejected/mine.txt", "rejected/model.int8.onnx"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, UnavailableError("planted"), OSError("disk full")])
def test_other_errors_leave_nothing(out: Path, error: BaseException) -> None:
    with pytest.raises(type(error) if isinstance(error, Exception) else error), staged(out) as staging:  # type: ignore[arg-type]
        write(staging)
        raise error
    assert files(out) == ["notes.txt", "rejected/mine.txt"]


def test_parity_is_the_last_to_take_its_name(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: (moved.append(path.name), replace(path, target))[1])
    with staged(out) as staging:
        write(staging)
        (staging.final / "preprocess.json").write_text("new")
    assert moved[-1] == PARITY and len(moved) == 5


def test_leftovers_of_a_killed_export_are_removed(out: Path) -> None:
    (out / ".export-abc" / "final").mkdir(parents=True)
    (out / ".export-abc" / "final" / "model.onnx").write_text("half")
    with staged(out) as staging:
        write(staging)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_second_export_is_refused_while_the_first_one_works(out: Path) -> None:
    with staged(out) as first:
        write(first)
        with pytest.raises(UnavailableError, match=rf"another export \(process {os.getpid()}\)"), staged(out):
            pass
        assert (first.final / "model.onnx").is_file()
    assert (out / "model.onnx").read_text() == "new" and (out / PARITY).read_text() == "new"
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_rejected_is_removed_once_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected" / "parity.json").write_text("before")
    with staged(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
