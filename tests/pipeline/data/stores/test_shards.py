from pathlib import Path

import pytest

from exporters.images.decoding import UnreadableImageError
from pipeline.data.stores.shards import LARGEST_IMAGE, ShardStore, shard_key
from tests.pipeline.data.containers import write_shard


def test_member_is_read_by_its_place(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [("x/1.jpg", b"first"), ("x/2.jpg", b"second")])
    key = shard_key("a.tar", "x/2.jpg", 1536, 6)
    store = ShardStore(tmp_path)
    assert key == "a.tar/x/2.jpg@1536+6" and store.read(key) == b"second"
    assert store.describe(key) == f"{tmp_path / 'a.tar'}: x/2.jpg"


@pytest.mark.parametrize(
    ("offset", "size", "message"), [(1536, LARGEST_IMAGE + 1, "are more than"), (10**6, 5, "the shard ends within it")]
)
def test_member_that_cannot_be_read_is_named(tmp_path: Path, offset: int, size: int, message: str) -> None:
    write_shard(tmp_path / "a.tar", [("1.jpg", b"first")])
    with pytest.raises(UnreadableImageError, match=rf"a\.tar: 1\.jpg: .*{message}"):
        ShardStore(tmp_path).read(shard_key("a.tar", "1.jpg", offset, size))
