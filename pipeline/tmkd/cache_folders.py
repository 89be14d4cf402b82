"""Folders of caches: what each was made from, which runs have used it, and whether one is using it now."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporters.core.errors import TmkdError, UnavailableError
from exporters.core.files import create_text, dump_json, read_json, write_json
from exporters.core.locks import held, held_together, is_held

_ABOUT, _LOCK, _USERS = "about.json", ".lock", "runs"
KINDS = ("teacher", "seen")
"""Folders of a run's `cache/` that hold caches of teachers' outputs, each of one key."""


@dataclass(frozen=True)
class Use:
    """A run that has used a cache.

    Attributes:
        run: its directory.
        last: when its training began the last time.
    """

    run: Path
    last: datetime


@dataclass(frozen=True)
class CacheFolder:
    """A folder of a cache, named by the digest of everything that its contents follow from.

    Attributes:
        path: the folder, which need not exist.
    """

    path: Path

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.path.parent.name

    @property
    def key(self) -> str:
        """The digest."""
        return self.path.name

    def open(self, about: Mapping[str, Any], run: Path) -> None:
        """Write what the cache is made from, unless it is there, and that a run uses it.

        Args:
            about: JSON values, for people.
            run: its directory.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(FileExistsError):
            create_text(self.path / _ABOUT, dump_json({**about, "made": now}))
        run = run.absolute()
        name = hashlib.blake2b(str(run).encode(), digest_size=8).hexdigest()
        write_json(self.path / _USERS / f"{name}.json", {"run": str(run), "last": now})

    def in_use(self) -> AbstractContextManager[None]:
        """A block in which the cache is in use, and cannot be removed."""
        return held_together(self.path / _LOCK)

    @property
    def is_in_use(self) -> bool:
        """Whether a process is using it now."""
        return is_held(self.path / _LOCK)

    @property
    def bytes(self) -> int:
        """On the disk."""
        return cache_size(self.path)

    @property
    def about(self) -> dict[str, Any]:
        """What it is made from; empty where that is not known."""
        return _read(self.path / _ABOUT)

    @property
    def uses(self) -> list[Use]:
        """The runs that have used it, the last one first."""
        found = [_read(path) for path in (self.path / _USERS).glob("*.json")]
        uses = [Use(Path(each["run"]), datetime.fromisoformat(each["last"])) for each in found if each]
        return sorted(uses, key=lambda use: use.last, reverse=True)

    @property
    def last_used(self) -> datetime:
        """When a training began to use it the last time, or else when it was made."""
        uses = self.uses
        return uses[0].last if uses else datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    def remove(self) -> None:
        """Remove it.

        Raises:
            UnavailableError: a process is using it.
        """
        with held(self.path / _LOCK, self._refusal):
            shutil.rmtree(self.path)

    def _refusal(self, _process: str) -> TmkdError:
        return UnavailableError(f"{self.path} is in use by a run", remedy="Wait for it to end.")


def cache_folders(cache: Path) -> Iterator[CacheFolder]:
    """The caches below a run's `cache/`, by kind and key."""
    for kind in KINDS:
        for path in sorted((cache / kind).glob("*")):
            if path.is_dir() and not path.name.startswith("."):
                yield CacheFolder(path)


def cache_size(folder: Path) -> int:
    """Bytes on the disk below a folder."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*.npy"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}
