"""Folders of caches: what they say of themselves, and that one in use cannot be removed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
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
