from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.data.readers import shard_index
from pipeline.data.readers.webdataset import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import samples, write_shard, write_shards


def test_shard_is_listed_again_only_when_it_changed(tmp_path: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch):
    listed: list[str] = []
    pairs = shard_index._pairs

    def counted(path: Path, ignored: Counter[str]) -> Iterator[tuple[str, int | str]]:
        listed.append(path.name)
        return pairs(path, ignored)

    monkeypatch.setattr(shard_index, "_pairs", counted)
    first = read(write_shards(tmp_path), Data())
    assert listed == ["train-000000.tar", "train-000001.tar", "test-000000.tar"]
    second = read(tmp_path, Data())
    assert len(listed) == 3 and (second.splits, second.ignored) == (first.splits, first.ignored)
    write_shard(tmp_path / "train-000001.tar", [*samples(100, 6, first=6), ("readme.txt", b"x")])
    assert read(tmp_path, Data()).ignored == {".txt": 1} and listed[3:] == ["train-000001.tar"]
    assert read(tmp_path, Data()).ignored == {".txt": 1} and len(listed) == 4
    for kept in (user_cache / "shards").iterdir():
        kept.write_bytes(kept.read_bytes()[:200])
    assert read(tmp_path, Data()).ignored == {".txt": 1} and len(listed) == 7  # damaged: listed again
    monkeypatch.setenv("TMKD_CACHE", "/dev/null")  # nothing can be kept there
    assert read(tmp_path, Data()).splits == read(tmp_path, Data()).splits and len(listed) == 13
