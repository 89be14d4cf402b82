import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.indexing import read_listing
from pipeline.data.listing import Listing
from pipeline.data.stores.base import FileMarks, file_mark, image_of_planes
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import write_cifar10


def keys(listing: Listing) -> list[str]:
    return [key for split in listing.splits.values() for key in split.paths]


def test_more_files_than_stay_open_are_read_concurrently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.data.stores.base.OPEN_FILES", 2)
    write_cifar10(tmp_path)
    listing = read_listing(Data(dataset="cifar10", root=str(tmp_path)))
    store = open_store(listing.store, listing.root)
    first = [store.read(key) for key in keys(listing)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.read, keys(listing))) == first


def test_file_marks_are_looked_up_once(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    os.utime(path, ns=(0, 5))
    marks, status = FileMarks(), path.stat()
    mark = file_mark(path)
    assert marks.of(path) == mark == f"3 5 {status.st_ctime_ns} {status.st_ino}"
    path.unlink()
    assert marks.of(path) == mark
    with pytest.raises(FileNotFoundError):
        FileMarks().of(path)


@pytest.mark.parametrize("how", ["written in place", "replaced"])
def test_mark_changes_with_content_of_the_same_size_and_time(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    before, status = file_mark(path), path.stat()
    place = path if how == "written in place" else tmp_path / "b.bin"
    while (
        place.exists() is False or place.stat().st_ctime_ns == status.st_ctime_ns
    ):  # the clock of a disk may be coarse
        place.write_bytes(b"abd")
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    place.replace(path)
    assert path.stat().st_size == status.st_size and path.stat().st_mtime_ns == status.st_mtime_ns
    assert file_mark(path) != before


@pytest.mark.parametrize("column_major", [False, True])
def test_image_is_assembled_from_colour_planes(column_major: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stored = pixels.transpose((2, 1, 0) if column_major else (2, 0, 1))
    image = image_of_planes(stored.tobytes(), 4, column_major=column_major)
    np.testing.assert_array_equal(np.asarray(image), pixels)
