import os
from pathlib import Path

import pytest

from pipeline.data.listing import Split, listing_digest
from pipeline.data.readers.folder import read
from tests.pipeline.data.conftest import Data, write_image


def test_digest_sees_every_change_without_opening_a_file(folders: Path):
    before = listing_digest(read(folders, Data()))
    assert listing_digest(read(folders, Data())) == before
    path = folders / "train/teal/000.png"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = listing_digest(read(folders, Data()))
    path.rename(folders / "train/teal/renamed.png")
    renamed = listing_digest(read(folders, Data()))
    write_image(folders / "test/teal/new.png", 0)
    added = listing_digest(read(folders, Data()))
    (folders / "train/wood_duck").rename(folders / "train/smew")
    (folders / "test/wood_duck").rename(folders / "test/smew")
    assert len({before, touched, renamed, added, listing_digest(read(folders, Data()))}) == 5


def test_a_split_has_a_label_for_each_path():
    with pytest.raises(ValueError, match="1 paths but 2 labels"):
        Split(["a"], [0, 1])
