import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.mapped import map_npz

ARRAYS = {
    "bytes": np.arange(200, dtype=np.uint8).reshape(-1, 4),
    "empty": np.zeros(0, dtype=np.int64),
    "numbers": np.arange(33, dtype=np.int64),
    "sizes": np.arange(8, dtype=np.int32).reshape(4, 2),
}


def test_arrays_are_those_that_were_saved_and_read_only(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, **ARRAYS)
    mapped = map_npz(path)
    path.unlink()  # what is mapped stays
    assert set(mapped) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert mapped[name].dtype == array.dtype and not mapped[name].flags.writeable


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what is mapped")
def test_pages_that_were_read_are_forgotten_and_read_again(tmp_path: Path):
    def resident() -> int:
        lines = Path("/proc/self/smaps").read_text().splitlines()
        place = next(number for number, line in enumerate(lines) if line.endswith("large.npz"))
        return int(next(line.split()[1] for line in lines[place:] if line.startswith("Rss:")))

    numbers = np.arange(500_000)
    np.savez(tmp_path / "large.npz", numbers=numbers)
    mapped = map_npz(tmp_path / "large.npz")
    assert resident() > 3900  # kB: the checksum has read it all
    mapped.forget_pages()
    assert resident() < 100
    np.testing.assert_array_equal(mapped["numbers"], numbers)


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_an_array(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int):
    path = tmp_path_factory.mktemp("flipped") / "a.npz"
    np.savez(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        mapped = map_npz(path)
    except Exception:  # zipfile and numpy have errors of their own
        return
    for name in set(mapped) & set(ARRAYS):
        np.testing.assert_array_equal(mapped[name], ARRAYS[name])


def test_unmappable_file_is_refused(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    with pytest.raises(ValueError, match="not stored as it is"):
        map_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", objects=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be mapped"):
        map_npz(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"no archive")
    with pytest.raises(zipfile.BadZipFile):
        map_npz(tmp_path / "c.npz")
