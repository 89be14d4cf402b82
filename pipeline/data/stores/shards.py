"""Images inside tar files, read by place: nothing is unpacked, so that nothing can be written anywhere."""

from pathlib import Path

from exporters.images.decoding import UnreadableImageError
from pipeline.data.stores.base import FileMarks, OpenFiles, Store

LARGEST_IMAGE = 256 * 2**20
"""Bytes of one encoded image; more than any image of the allowed number of pixels needs."""


def shard_key(shard: str, member: str, offset: int, size: int) -> str:
    """The key of a member: `train-000000.tar/0001.jpg@1536+5731`, its content being 5731 bytes from byte 1536 on."""
    return f"{shard}/{member}@{offset}+{size}"


class ShardStore(Store):
    """Members of the tar files of a folder, under the keys of `shard_key`; what is hashed is the member's content."""

    def __init__(self, root: Path, argument: str = "") -> None:
        super().__init__(root, argument)
        self._files = OpenFiles()
        self._marks = FileMarks()

    def read(self, key: str) -> bytes:
        """The member's bytes."""
        place, _, extent = key.rpartition("@")
        offset, size = map(int, extent.split("+"))
        if size > LARGEST_IMAGE:
            raise UnreadableImageError(
                f"{self.describe(key)}: the image cannot be read: {size:,} bytes are more than {LARGEST_IMAGE:,}"
            )
        data = self._files.read(self.root / place.partition("/")[0], offset, size)
        if len(data) != size:
            raise UnreadableImageError(f"{self.describe(key)}: the image cannot be read: the shard ends within it")
        return data

    def mark(self, key: str) -> str:
        """The mark of the shard; the key itself holds place and length."""
        return self._marks.of(self.root / key.partition("/")[0])

    def describe(self, key: str) -> str:
        """The shard and the member's name."""
        shard, _, member = key.rpartition("@")[0].partition("/")
        return f"{self.root / shard}: {member}"
