"""A file system of a few hundred kilobytes that really runs full."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A mounted tmpfs."""

    path: Path

    def resize(self, size: int) -> None:
        """Give it that many bytes."""
        self.remount(f"size={size}")

    def remount(self, options: str) -> None:
        """Change how it is mounted."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True, capture_output=True)

    def fill(self, left: int = 0) -> Path:
        """Take all room but that many bytes by a file, which is returned."""
        filler = self.path / "filler"
        with filler.open("wb", buffering=0) as stream:
            try:
                while stream.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass
            stream.truncate(max(stream.tell() - left, 0))
        return filler


@contextmanager
def small_disk(path: Path, size: int, options: str = "") -> Iterator[SmallDisk]:
    """Mount a file system of `size` bytes at a new folder; skips the test where this user may not mount."""
    path.mkdir()
    asked = ",".join(filter(None, [f"size={size}", options]))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", asked, "none", str(path)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no program `mount` here")
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)
