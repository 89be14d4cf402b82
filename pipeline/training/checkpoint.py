"""The state of a training on the disk: the newest checkpoints, each with its checksum, for the same training only."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from exporters.core.files import atomic_path, open_regular

_DIGEST_BYTES = 64
"""Hex SHA-256, as the comment of the zip archive that PyTorch writes: what reads zip archives passes over it."""
_LENGTH_BYTES = 2
"""Length of that comment, the last field of the archive's end record; hashed as zero."""
_CHUNK = 2**20


@dataclass(frozen=True)
class Checkpoint:
    """The newest checkpoints of a training, and the fingerprint of the training that may resume from them.

    Attributes:
        path: the newest one; those before it are beside it, `checkpoint.1.pt` and so on.
        fingerprint: of all that the training depends on; a checkpoint with another one is not used.
        keep: how many are kept, 1 or more.
        every_seconds: between two checkpoints within an epoch; None: there is one after each epoch only.
    """

    path: Path
    fingerprint: str
    keep: int = 2
    every_seconds: float | None = None

    def load(self, warn: Callable[[str], None] = lambda _text: None) -> dict[str, Any] | None:
        """The newest state that is undamaged, tensors on the CPU; None where there is none.

        Args:
            warn: told of each damaged file, and of what is used in its place.
        """
        damaged: list[str] = []
        for path in self._files():
            try:
                saved = _read(path)
            except _Damaged as error:
                damaged.append(f"{path} is damaged ({error})")
                continue
            if not isinstance(saved, dict) or saved.get("fingerprint") != self.fingerprint or "state" not in saved:
                continue
            if damaged:
                warn(f"{'; '.join(damaged)}: the one before is used, {path}")
            state: dict[str, Any] = saved["state"]
            return state
        if damaged:
            warn(f"{'; '.join(damaged)}: no checkpoint is left, and this training starts over")
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Write this state atomically as the newest, and remove those that are more than `keep`.

        Raises:
            WriteError: it cannot be written; the states that were saved before are still there.
        """
        with atomic_path(self.path) as temporary:
            # Through a stream, whose error says what PyTorch's own does not: that the disk is full.
            with temporary.open("wb") as stream:
                torch.save({"fingerprint": self.fingerprint, "state": state}, stream)
            _sign(temporary)
            # A process that is killed from here on leaves the others under their new names, where `load` finds them.
            for number in range(self.keep - 1, 0, -1):
                if (newer := self._numbered(number - 1)).is_file():
                    newer.replace(self._numbered(number))
        for path in self._files()[self.keep :]:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of them, once the results of the training are written."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_suffix(f".{number}{self.path.suffix}")

    def _files(self) -> list[Path]:
        """All that are there, the newest first; an earlier attempt may have kept more."""
        earlier = []
        for path in self.path.parent.glob(f"{self.path.stem}.*{self.path.suffix}"):
            number = path.name.removeprefix(f"{self.path.stem}.").removesuffix(self.path.suffix)
            if number.isdecimal():
                earlier.append((int(number), path))
        return [path for path in (self.path, *(path for _, path in sorted(earlier))) if path.is_file()]


class _Damaged(Exception):
    """Why a file cannot be read."""


def _sign(path: Path) -> None:
    """Add the checksum to an archive that has no comment yet."""
    with path.open("r+b") as stream:
        digest = _digest(stream, stream.seek(0, 2))
        stream.seek(-_LENGTH_BYTES, 2)
        stream.write(_DIGEST_BYTES.to_bytes(_LENGTH_BYTES, "little") + digest.encode())


def _read(path: Path) -> Any:
    """What was saved in a file.

    Raises:
        _Damaged: its content is not what was written.
    """
    try:
        with open_regular(path) as stream:
            archive = stream.seek(0, 2) - _DIGEST_BYTES
            if archive < _LENGTH_BYTES:
                raise _Damaged("it is cut short")
            stream.seek(archive)
            if stream.read() != _digest(stream, archive).encode():
                raise _Damaged("its checksum is another")
            stream.seek(0)
            return torch.load(stream, map_location="cpu", weights_only=True)
    except _Damaged:
        raise
    except Exception as error:  # of the system, or of the unpickler: a file that somebody has made
        raise _Damaged(f"{type(error).__name__} on reading it") from error


def _digest(stream: BinaryIO, archive: int) -> str:
    """Hex SHA-256 of the first `archive` bytes, the length of the comment as zero; the stream is moved."""
    digest = hashlib.sha256()
    stream.seek(0)
    left = archive - _LENGTH_BYTES
    while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    digest.update(bytes(_LENGTH_BYTES))
    return digest.hexdigest()
