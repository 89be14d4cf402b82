"""Columns of a cache: what counts after a crash, several writers, and how numbers are rounded."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.tmkd.cache_columns import CacheColumn

EVERY = np.arange(5)

FILL = """
import sys
from pathlib import Path
import numpy as np
from pipeline.tmkd.cache_columns import CacheColumn
path, first, images = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
column = CacheColumn(path, 1, images, (50,))
print("open", flush=True)
for start in np.roll(np.arange(0, images, 10), -first // 10):
    rows = np.arange(start, start + 10)
    missing = rows[~column.known(0, rows)]
    column.write(0, missing, np.repeat(missing[:, None] + 1, 50, axis=1).astype(np.float32))
    column.commit()
print("done", flush=True)
"""


def start_filling(path: Path, first: int, images: int) -> "subprocess.Popen[str]":
    """A process that fills a column from some row on, all around; row n has the numbers n + 1."""
    command = [sys.executable, "-c", FILL, str(path), str(first), str(images)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    return process


def test_only_committed_rows_count(tmp_path: Path) -> None:
    column = CacheColumn(tmp_path / "x", 2, 5, (3,))
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    column.write(1, np.array([4, 0]), values)
    assert not column.known(1, EVERY).any()
    column.commit()
    for each in (column, CacheColumn(tmp_path / "x", 2, 5, (3,))):
        assert each.known(1, EVERY).tolist() == [True, False, False, False, True]
        np.testing.assert_array_equal(each.read(1, np.array([0, 4])), values[::-1])
        assert not each.known(0, EVERY).any()
    assert np.load(tmp_path / "x.known.npy").dtype == np.bool_  # a number each would be eight times as much to read


def test_rows_of_another_writer_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = (CacheColumn(tmp_path / "x", 1, 5, (1,)) for _ in range(2))
    assert not ours.known(0, EVERY).any()
    theirs.write(0, np.array([2]), np.full((1, 1), 7, np.float32))
    theirs.commit()
    monkeypatch.setattr("pipeline.tmkd.cache_columns._OTHERS_SECONDS", 0.0)
    assert ours.known(0, EVERY).tolist() == [False, False, True, False, False]
    assert ours.read(0, np.array([2])).item() == 7


def test_it_is_looked_for_rows_of_others_every_five_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("pipeline.tmkd.cache_columns.time.monotonic", lambda: now[0])
    ours, theirs = (CacheColumn(tmp_path / "x", 1, 5, (1,)) for _ in range(2))
    assert not ours.known(0, EVERY).any()
    theirs.write(0, np.array([2]), np.full((1, 1), 7, np.float32))
    theirs.commit()
    for seconds, found in ((0, False), (4.9, False), (5.0, True)):
        now[0] = 100.0 + seconds
        assert ours.known(0, EVERY)[2] == found


def test_two_processes_fill_one_column_and_a_killed_one_leaves_no_half_row(tmp_path: Path) -> None:
    images = 3000
    killed, other = start_filling(tmp_path / "x", 0, images), start_filling(tmp_path / "x", 1500, images)
    deadline = time.monotonic() + 60
    column = CacheColumn(tmp_path / "x", 1, images, (50,))
    every = np.arange(images)
    while not column._marks.read_all(0)[:1500].any() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    known = every[column._marks.read_all(0)]
    np.testing.assert_array_equal(column.read(0, known), np.repeat(known[:, None] + 1, 50, axis=1))
    output, _ = other.communicate(timeout=60)
    assert output == "done\n" and column._marks.read_all(0).all()
    np.testing.assert_array_equal(column.read(0, every), np.repeat(every[:, None] + 1, 50, axis=1))


def test_half_precision_rounds_to_eleven_bits_and_says_so(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    column = CacheColumn(tmp_path / "x", 1, 5, (40,), np.float16)
    stored = column.write(0, EVERY, values)
    column.commit()
    np.testing.assert_array_equal(stored, values.astype(np.float16))
    np.testing.assert_array_equal(column.read(0, EVERY), stored)
    expected = (np.abs(values.astype(np.float16) - values.astype(np.float64)).max(1) / np.abs(values).max(1)).max()
    assert column.largest_error == pytest.approx(expected) and 0 < expected < 2**-11
    full = CacheColumn(tmp_path / "y", 1, 5, (40,))
    assert full.write(0, EVERY, values) is values and full.largest_error == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "expected"), [([[0.1]], 0.1), ([[0.0, 0.0], [0.1, 0.05]], 0.1), ([[0.0, 0.0]], None)]
)
def test_error_of_rounding_is_relative_to_the_largest_number_of_a_value(
    tmp_path: Path, values: list[list[float]], expected: float | None
) -> None:
    exact = np.array(values, np.float32)
    column = CacheColumn(tmp_path / "x", 1, 5, exact.shape[1:], np.float16)
    column.write(0, np.arange(len(exact)), exact)
    relative = 0 if expected is None else abs(float(np.float16(expected)) / float(np.float32(expected)) - 1)
    assert column.largest_error == pytest.approx(relative, rel=1e-6)
    column.write(0, np.array([4]), np.zeros((1, *exact.shape[1:]), np.float32))
    assert column.largest_error == pytest.approx(relative, rel=1e-6), "the largest of all that was written"


def test_no_rows_can_be_written(tmp_path: Path) -> None:
    column = CacheColumn(tmp_path / "x", 1, 5, (2,), np.float16)
    assert column.write(0, np.array([], np.int64), np.zeros((0, 2), np.float32)).shape == (0, 2)
    column.commit()
    assert column.largest_error == 0 and not column.known(0, EVERY).any()


@pytest.mark.filterwarnings("error")
def test_number_that_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    column = CacheColumn(tmp_path / "x", 1, 5, (2,), np.float16)
    with pytest.raises(UnavailableError, match=r"cannot keep 7e\+04 in float16") as caught:
        column.write(0, np.array([1]), np.array([[1.0, -70000.0]], np.float32))
    assert "distill.teacher_cache.storage" in caught.value.remedy


def test_disk_without_room_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"teacher cache takes 400,000\.00 GB more"):
        CacheColumn(tmp_path / "x", 100_000, 1_000_000, (1000,))
    assert not list(tmp_path.iterdir())
