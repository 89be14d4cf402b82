import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from exporters.core.write_errors import WriteError
from pipeline.tmkd.cache_files import ArrayFile, _create, row_shape
from tests.small_disk import small_disk


@settings(deadline=None, max_examples=30)
@given(data=st.data(), row=st.sampled_from([(), (1,), (3,), (2, 2, 2)]), dtype=st.sampled_from([np.float32, np.bool_]))
def test_written_rows_are_read_back(
    data: st.DataObject, row: tuple[int, ...], dtype: type, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("array") / "x.npy"
    expected = np.zeros((2, 5, *row), dtype)
    file = ArrayFile(path, expected.shape, dtype)
    for number in range(data.draw(st.integers(0, 4))):
        pass_ = data.draw(st.integers(0, 1))
        indices = np.array(data.draw(st.lists(st.integers(0, 4), unique=True)), dtype=np.int64)
        values = np.full((len(indices), *row), number + 1, dtype)
        expected[pass_, indices] = values
        file.write(pass_, indices, values)
    file.flush()
    np.testing.assert_array_equal(np.load(path), expected)
    for opened in (file, ArrayFile(path, expected.shape, dtype)):
        np.testing.assert_array_equal(opened.read(1, np.arange(5)), expected[1])
        np.testing.assert_array_equal(opened.read_all(0), expected[0])
        np.testing.assert_array_equal(opened.read(0, np.array([4, 1])), expected[0, [4, 1]])
    assert row_shape(path) == row


def test_rows_are_the_same_through_memory_and_by_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((3, 7, 4), np.float32)
    writer, mapped = (ArrayFile(tmp_path / "x.npy", values.shape, np.float32) for _ in range(2))
    for epoch in (0, 2, 1, 0):
        assert not mapped.read(epoch, np.arange(7)).any() or epoch == 0
        writer.write(epoch, np.arange(7), values[epoch])  # seen through a map that was made before
        for limit in (2**20, 0):
            monkeypatch.setattr("pipeline.tmkd.cache_files._MAPPED_BYTES", limit)
            found = mapped.read(epoch, np.array([6, 0, 3]))
            np.testing.assert_array_equal(found, values[epoch, [6, 0, 3]])
            found[:] = 0  # a copy
        monkeypatch.undo()


@pytest.mark.parametrize(("pass_", "index"), [(2, 0), (-1, 0), (0, 5), (0, -1)])
def test_missing_rows_are_index_errors(pass_: int, index: int, tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "x.npy", (2, 5, 3), np.float32)
    with pytest.raises(IndexError):
        file.read(pass_, np.array([index]))
    with pytest.raises(IndexError):
        file.write(pass_, np.array([index]), np.zeros((1, 3), np.float32))


def test_full_disk_while_writing_is_reported(tmp_path: Path) -> None:
    """In its own process: writing through a memory map of the file would kill it with SIGBUS."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from exporters.core.write_errors import WriteError\n"
        "from pipeline.tmkd.cache_columns import CacheColumn\n"
        "folder = Path(sys.argv[1])\n"
        "column = CacheColumn(folder / 'logits-rgb', 4, 64, (1000,))\n"  # 1 MB
        "column.write(0, np.arange(8), np.full((8, 1000), 1, np.float32))\n"
        "column.commit()\n"
        "filler = (folder / 'filler').open('wb', buffering=0)\n"
        "try:\n"
        "    while filler.write(bytes(4096)) == 4096: pass\n"
        "except OSError: pass\n"
        "assert not column.known(1, np.arange(8)).any()\n"  # a hole of the file
        "try:\n"
        "    column.write(1, np.arange(64), np.full((64, 1000), 2, np.float32))\n"
        "except WriteError as error:\n"
        "    print(error)\n"
        "filler.truncate(0)\n"
        "again = CacheColumn(folder / 'logits-rgb', 4, 64, (1000,))\n"
        "assert again.read(0, np.arange(8)).sum() == 8000 and not again.known(1, np.arange(8)).any()\n"
        "again.write(1, np.arange(64), np.full((64, 1000), 2, np.float32))\n"
        "again.commit()\n"
        "assert (again.read(1, np.arange(64)) == 2).all()\n"
    )
    with small_disk(tmp_path / "disk", 2**21) as disk:
        ended = subprocess.run(
            [sys.executable, "-c", code, str(disk.path)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).resolve().parents[3],
        )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{disk.path}/logits-rgb.npy: cannot be written: the disk is full (0.0 MB are free")


def test_full_or_read_only_disk_refuses_a_new_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        disk.fill()
        with pytest.raises(UnavailableError):
            ArrayFile(disk.path / "x.npy", (1, 5, 3), np.float32)
        disk.remount("ro")
        with pytest.raises(WriteError, match="read-only"):
            ArrayFile(disk.path / "y.npy", (0, 5, 3), np.float32)


@pytest.mark.parametrize("row", [(), (3,)])
def test_what_the_system_reads_and_writes_in_parts_is_whole(
    row: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda handle, size, place: pread(handle, min(size, 7), place))
    monkeypatch.setattr(os, "pwrite", lambda handle, data, place: pwrite(handle, data[:5], place))
    values = np.random.default_rng(0).random((2, 5, *row))
    file = ArrayFile(tmp_path / "x.npy", values.shape, np.float64)
    for epoch in (0, 1):
        file.write(epoch, np.array([3, 1, 0, 4, 2]), values[epoch, [3, 1, 0, 4, 2]])
    for epoch in (0, 1):
        np.testing.assert_array_equal(file.read_all(epoch), values[epoch])


def test_file_without_its_end_is_read_as_far_as_it_goes_and_not_for_ever(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "x.npy", (1, 4), np.float64)
    with (tmp_path / "x.npy").open("rb+") as opened:
        opened.truncate((tmp_path / "x.npy").stat().st_size - 8)
    with pytest.raises(ValueError, match="reshape"):
        file.read_all(0)


def test_rows_of_no_numbers_can_be_read(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "x.npy", (1, 4, 0), np.float32)
    file.write(0, np.arange(2), np.zeros((2, 0)))
    assert file.read(0, np.arange(2)).shape == (2, 0) and file.read_all(0).shape == (4, 0)


def test_epoch_of_just_the_bytes_allowed_is_read_through_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, mapped in ((48, True), (47, False)):
        file = ArrayFile(tmp_path / "x.npy", (2, 4, 3), np.float32)  # 48 bytes an epoch
        monkeypatch.setattr("pipeline.tmkd.cache_files._MAPPED_BYTES", limit)
        file.read(1, np.arange(4))
        assert (file._map is not None) == mapped


def test_other_number_of_values_than_of_rows_is_refused(tmp_path: Path) -> None:
    file = ArrayFile(tmp_path / "x.npy", (2, 5, 3), np.float32)
    for rows in (1, 3):
        with pytest.raises(ValueError, match="zip"):
            file.write(0, np.arange(2), np.zeros((rows, 3), np.float32))


def test_flush_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    ArrayFile(tmp_path / "x.npy", (2, 5), np.bool_).flush()
    assert synced[-1] == (tmp_path / "x.npy").stat().st_ino


def test_disk_that_is_full_while_a_file_is_filled_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = ArrayFile(tmp_path / "x.npy", (2, 5), np.bool_)
    for call, act in (("fsync", file.flush), ("pwrite", lambda: file.write(0, np.arange(2), np.ones(2)))):
        monkeypatch.setattr(os, call, full)
        with pytest.raises(WriteError, match=rf"^{tmp_path}/x\.npy: cannot be written: the disk is full"):
            act()


def test_file_is_made_in_new_folders_and_the_first_of_two_makers_wins(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.npy"
    ArrayFile(path, (1, 5, 2), np.float32).write(0, np.array([4]), np.full((1, 2), 7))
    _create(path, (1, 5, 2), np.dtype(np.float32))  # by a process that had seen no file
    assert ArrayFile(path, (1, 5, 2), np.float32).read(0, np.array([4])).tolist() == [[7, 7]]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("shape", "dtype"), [((2, 5, 4), np.float32), ((2, 5, 3), np.float16)])
def test_file_of_another_array_is_refused(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    ArrayFile(tmp_path / "x.npy", (2, 5, 3), np.float32)
    with pytest.raises(UnavailableError, match=r"x\.npy: holds \(2, 5, 3\)"):
        ArrayFile(tmp_path / "x.npy", shape, dtype)


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_damaged_files_are_named(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    ArrayFile(path, (2, 5, 3), np.float32)
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    for look in (lambda: ArrayFile(path, (2, 5, 3), np.float32), lambda: row_shape(path)):
        with pytest.raises(UnavailableError, match=rf"^{path}: damaged") as caught:
            look()
        assert f"Remove {tmp_path}." in str(caught.value)
