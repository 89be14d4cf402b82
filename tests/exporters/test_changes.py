"""Every change of every file is found: one byte, a file more, a file less."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError

from .forging import FILES

KINDS = ("bit", "byte", "cut", "insert", "append", "remove", "add")


def changed(data: bytes, kind: str, random: np.random.Generator) -> bytes:
    place = int(random.integers(0, len(data)))
    if kind == "bit":
        return data[:place] + bytes([data[place] ^ 1 << int(random.integers(0, 8))]) + data[place + 1 :]
    if kind == "byte":
        return data[:place] + bytes([(data[place] + int(random.integers(1, 256))) % 256]) + data[place + 1 :]
    if kind == "cut":
        return data[:place] + data[place + 1 :]
    return data[:place] + bytes([int(random.integers(0, 256))]) + data[place if kind == "insert" else len(data) :]


def find_all(packed: Path, tmp_path: Path, count: int) -> None:
    """`count` changes over all files, each undone before the next."""
    bundle, random = Path(shutil.copytree(packed, tmp_path / "bundle")), np.random.default_rng(count)
    assert {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()} == set(FILES)
    for index in range(count):
        name, kind = FILES[index % len(FILES)], KINDS[index // len(FILES) % len(KINDS)]
        path = bundle / name
        good = path.read_bytes()
        if kind == "remove":
            path.unlink()
        elif kind == "add":
            path = path.with_name(f"{random.integers(10**9)}{path.suffix}")
            name = path.relative_to(bundle).as_posix()
            path.write_bytes(good)
        else:
            path.write_bytes(changed(good, kind, random))
        with pytest.raises(GateError) as caught:
            verify_bundle(bundle)
        assert name in str(caught.value), (name, kind)
        if kind == "add":
            path.unlink()
        else:
            path.write_bytes(good)
    verify_bundle(bundle)


def test_every_change_is_found(packed: Path, tmp_path: Path) -> None:
    find_all(packed, tmp_path, 2 * len(FILES) * len(KINDS))


@pytest.mark.slow
def test_two_thousand_changes_are_found(packed: Path, tmp_path: Path) -> None:
    find_all(packed, tmp_path, 2000)
