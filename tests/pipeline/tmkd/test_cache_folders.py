"""Folders of caches: what they say of themselves, and that one in use cannot be removed."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.core.files import write_json
from pipeline.tmkd.cache_folders import CacheFolder, cache_folders, cache_size


def folder(tmp_path: Path, key: str = "abc") -> CacheFolder:
    found = CacheFolder(tmp_path / "cache" / "teacher" / key)
    found.path.mkdir(parents=True)
    (found.path / "logits-rgb.npy").write_bytes(bytes(10_000))
    return found


def test_a_cache_says_what_it_is_made_from_and_which_runs_use_it(tmp_path: Path) -> None:
    found = folder(tmp_path)
    assert found.about == {} and found.uses == []
    found.open({"teacher": "resnet56"}, tmp_path / "first")
    found.open({"teacher": "another"}, tmp_path / "second")
    found.open({"teacher": "another"}, tmp_path / "first")
    assert found.about["teacher"] == "resnet56"  # the first one made it
    assert {use.run for use in found.uses} == {tmp_path / "first", tmp_path / "second"}
    assert datetime.now(UTC) - found.last_used < timedelta(minutes=5)
    assert (found.kind, found.key) == ("teacher", "abc") and found.bytes == cache_size(found.path) >= 10_000


def test_a_cache_in_use_is_not_removed(tmp_path: Path) -> None:
    found = folder(tmp_path)
    assert not found.is_in_use
    with found.in_use(), found.in_use():  # several runs at a time
        assert found.is_in_use
        with pytest.raises(UnavailableError, match="in use by a run"):
            found.remove()
    assert not found.is_in_use and found.bytes
    found.remove()
    assert not found.path.exists() and not list(cache_folders(tmp_path / "cache"))


def test_caches_are_found_by_kind_and_key(tmp_path: Path) -> None:
    made = [folder(tmp_path, "b"), folder(tmp_path, "a")]
    assert [each.key for each in cache_folders(tmp_path / "cache")] == ["a", "b"]
    assert set(cache_folders(tmp_path / "cache")) == set(made)
    assert not list(cache_folders(tmp_path / "elsewhere"))


def test_runs_are_told_by_when_they_used_it_last(tmp_path: Path) -> None:
    found = folder(tmp_path)
    assert found.last_used == datetime.fromtimestamp(found.path.stat().st_mtime, UTC)
    for name, hour in (("early", 3), ("last", 9), ("late", 7)):
        write_json(found.path / "runs" / f"{name}.json", {"run": f"/{name}", "last": f"2026-01-02T0{hour}:00:00+00:00"})
    (found.path / "runs" / "damaged.json").write_text("{")
    (found.path / "runs" / "other.txt").write_text("{}")
    assert [str(use.run) for use in found.uses] == ["/last", "/late", "/early"]
    assert found.last_used == datetime(2026, 1, 2, 9, tzinfo=UTC)


def test_run_is_noted_by_its_absolute_path_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = datetime.now(UTC).replace(microsecond=0)
    for run in (Path("here"), tmp_path / "here"):
        found.open({}, run)
    assert [use.run for use in found.uses] == [tmp_path / "here"]
    for written in (found.uses[0].last, datetime.fromisoformat(found.about["made"])):
        assert written >= before and written.microsecond == 0 and written.utcoffset() == timedelta(0)


def test_size_is_what_the_arrays_take_on_the_disk(tmp_path: Path) -> None:
    found = folder(tmp_path)
    (found.path / "sparse.npy").touch()
    os.truncate(found.path / "sparse.npy", 10**9)  # a hole takes nothing
    (found.path / "about.json").write_bytes(bytes(10_000))
    (found.path / "deeper").mkdir()
    (found.path / "deeper" / "x.npy").write_bytes(bytes(20_000))
    blocks = sum((found.path / name).stat().st_blocks for name in ("logits-rgb.npy", "sparse.npy", "deeper/x.npy"))
    assert found.bytes == cache_size(found.path) == 512 * blocks < 10**6


def test_files_and_hidden_folders_are_no_caches(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made.path.parent / "notes").touch()
    (made.path.parent / ".hidden").mkdir()
    (tmp_path / "cache" / "seen" / "z").mkdir(parents=True)
    assert [(each.kind, each.key) for each in cache_folders(tmp_path / "cache")] == [("teacher", "abc"), ("seen", "z")]
