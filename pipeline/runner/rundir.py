"""A run directory: one folder and one record a stage, held by one process at a time."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import atomic_directory, atomic_path, read_json, sha256_file, write_json
from exporters.core.locks import held, is_held
from exporters.core.write_errors import WriteError
from exporters.images.outputs import MARKER, write_marker
from pipeline.runner.metrics_log import damaged_lines, log_epoch
from pipeline.runner.record import StageRecord, parsed_record

_LOCK = ".lock"
_MARKS = (_LOCK, "recipe.lock.yaml")
"""Files by which a run directory is known."""

_KEPT_PREFIX = ".kept-"
"""Of the folder that keeps what a stage had made while it runs again."""
_KEPT_RECORD = ".record.json"


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link, whose target stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class RunDirectory:
    """The files of one run.

    Args:
        path: the directory; made on first use.
        cache: where what can be computed again is kept; by default a folder of its own.
    """

    def __init__(self, path: Path, cache: Path | None = None) -> None:
        self.path = path
        self.cache = cache if cache is not None else path / "cache"
        self._hashes: dict[Path, tuple[tuple[int, ...], str]] = {}
        self._watchers: list[Callable[[str, int], None]] = []

    def folder(self, stage: str) -> Path:
        """Where a stage's files are."""
        return self.path / stage

    def record(self, stage: str) -> StageRecord | None:
        """A stage's record; None where there is none that can be read."""
        try:
            return parsed_record(stage, read_json(self._record_path(stage)))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    def why_unrecorded(self, stage: str) -> str:
        """Why there is no record of a stage, for people."""
        return "its record cannot be read" if self._record_path(stage).is_file() else "it has not run yet"

    def damages(self) -> list[str]:
        """What is damaged and will be made again or left out, a sentence each."""
        found = []
        for path in sorted((self.path / "stages").glob("*.json")):
            if not path.name.startswith(".") and self.record(path.stem) is None:
                found.append(f"{path} cannot be read as the record of a stage: {path.stem} counts as not run")
        if lines := damaged_lines(self._metrics_path):
            which = f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:5]))}{' …' * (len(lines) > 5)}"
            found.append(f"{self._metrics_path}: {which} cannot be read, and will be left out")
        return found

    def seconds_spent(self, record: StageRecord) -> float:
        """Seconds that the attempts at a stage took so far; of one that was killed, those until its last file."""
        if record.status != "running":
            return record.seconds
        files = (path for path in self.folder(record.stage).rglob("*") if path.is_file())
        last = max((path.stat().st_mtime for path in files), default=0.0)
        return record.seconds + max(0.0, last - self._record_path(record.stage).stat().st_mtime)

    def holder(self) -> str | None:
        """The process that runs here now, or `unknown`; None where none does."""
        lock = self.path / _LOCK
        if not is_held(lock):
            return None
        try:
            return lock.read_text(encoding="utf-8").strip() or "unknown"
        except (OSError, ValueError):
            return "unknown"

    def write_record(self, record: StageRecord) -> None:
        """Replace a stage's record."""
        write_json(self._record_path(record.stage), asdict(record))

    def _record_path(self, stage: str) -> Path:
        return self.path / "stages" / f"{stage}.json"

    def hash_outputs(
        self, stage: str, extra_outputs: Sequence[str] = (), without: Sequence[str] = ()
    ) -> dict[str, str]:
        """The sha256 of every file in a stage's folder, and of its extra outputs.

        Hidden files, which are work in progress, are left out, and so are those of `without`.
        """
        paths = [*sorted(self.folder(stage).rglob("*")), *(self.path / name for name in extra_outputs)]
        names = {path.relative_to(self.path): path for path in paths if path.is_file()}
        return {
            name.as_posix(): self._sha256(path, again=True)
            for name, path in names.items()
            if name.as_posix() not in without and not any(part.startswith(".") for part in name.parts)
        }

    def remove_outputs(self, stage: str, extra_outputs: Sequence[str] = ()) -> None:
        """Remove a stage's folder, and its extra outputs."""
        for path in (self.folder(stage), *map(self.path.joinpath, extra_outputs)):
            _remove(path)

    def remove_temporaries(self) -> None:
        """Remove what a killed process left half-written; only for the process that holds the directory."""
        for path in [*self.path.rglob(".*-*.tmp*"), *self.path.rglob(".*-*.old")]:
            _remove(path)

    def set_aside(self, stage: str, extra_outputs: Sequence[str] = ()) -> None:
        """Move a stage's folder, its extra outputs and its record out of the way, to be kept until
        `discard_kept` or brought back by `put_back`.

        Everything goes to one hidden folder, so that a process that is killed meanwhile loses nothing: the next one
        calls `recover_kept`.
        """
        kept = self._kept(stage)
        _remove(kept)
        paths = (self.folder(stage), *map(self.path.joinpath, extra_outputs))
        paths = tuple(path for path in paths if os.path.lexists(path))
        if not paths:
            return
        kept.mkdir()
        if self._record_path(stage).is_file():
            _link_or_copy(str(self._record_path(stage)), str(kept / _KEPT_RECORD))  # first: it describes the rest
        for path in paths:
            path.replace(kept / path.name)

    def put_back(self, stage: str) -> None:
        """Undo `set_aside`: what stands in the place of something that was set aside is replaced."""
        kept = self._kept(stage)
        if not kept.is_dir():
            return
        for path in sorted(kept.iterdir(), key=lambda path: path.name == _KEPT_RECORD):  # the record is last
            target = self._record_path(stage) if path.name == _KEPT_RECORD else self.path / path.name
            if target.is_dir() or target.is_symlink():
                _remove(target)
            path.replace(target)
        _remove(kept)  # the record is still in it where both names are links to one file

    def discard_kept(self, stage: str) -> None:
        """Remove what `set_aside` has kept: something newer stands in its place, or nothing may."""
        _remove(self._kept(stage))

    def recover_kept(self) -> None:
        """Bring back what a killed process had set aside of stages that it had made nothing of yet; only for the
        process that holds the directory."""
        for kept in self.path.glob(f"{_KEPT_PREFIX}*"):
            stage = kept.name.removeprefix(_KEPT_PREFIX)
            if self.is_bare(stage):
                self.put_back(stage)
            else:
                self.discard_kept(stage)

    def _kept(self, stage: str) -> Path:
        return self.path / f"{_KEPT_PREFIX}{stage}"

    def is_bare(self, stage: str) -> bool:
        """Whether a stage has made no file."""
        return not any(path.is_file() for path in self.folder(stage).rglob("*"))

    def adopt(self, donor: "RunDirectory", record: StageRecord, extra_outputs: Sequence[str] = ()) -> None:
        """Take over a finished stage of another run: its files, as hard links where the disk allows, and its record."""
        for name in extra_outputs:
            with atomic_path(self.path / name) as temporary:
                shutil.copyfile(donor.path / name, temporary)
        # The folder is last: as long as it is bare, nothing has been made.
        with atomic_directory(self.folder(record.stage)) as folder:
            shutil.copytree(donor.folder(record.stage), folder, dirs_exist_ok=True, copy_function=_link_or_copy)
        self.write_record(record)

    def damaged_output(self, record: StageRecord) -> str | None:
        """The first output that is missing or not what the record says; None if all are as written."""
        for name, digest in record.outputs.items():
            path = self.path / name
            if not path.is_file():
                return f"{name} is missing"
            if self._sha256(path) != digest:
                return f"{name} was changed"
        return None

    def _sha256(self, path: Path, again: bool = False) -> str:
        """A file's sha256, which is computed once for as long as the file's size, times and inode stay, or `again`."""
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        if again or path not in self._hashes or self._hashes[path][0] != state:
            self._hashes[path] = state, sha256_file(path)
        return self._hashes[path][1]

    def log_metrics(self, stage: str, epoch: int, metrics: dict[str, Any]) -> None:
        """Add a line to `metrics.jsonl`; what an earlier attempt wrote of this stage from this epoch on is replaced."""
        log_epoch(self._metrics_path, stage, epoch, metrics)
        for watcher in self._watchers:
            watcher(stage, epoch)

    @contextmanager
    def watched(self, watcher: Callable[[str, int], None]) -> Iterator[None]:
        """A block in which `watcher` is called with training and epoch once their line is in `metrics.jsonl`."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    @property
    def _metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory against other processes.

        Where the block fails before anything was made in a directory that was new, the directory is removed again.

        Raises:
            UsageError: it is no run directory and not empty. Stages replace their folders, and a folder `data` that is
                here already may be all that someone has.
            UnavailableError: another process holds it, or it cannot be written.
        """
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(self.path.iterdir()) and not any((self.path / name).is_file() for name in _MARKS):
                raise UsageError(
                    f"{self.path} is no run directory and not empty, so nothing is written into it",
                    remedy="Choose one that is new or empty: --run-dir DIR",
                )
        except OSError as error:
            raise UnavailableError(
                f"the run directory {WriteError(self.path, error).message}",
                remedy="Choose another one: --run-dir DIR",
            ) from error
        with held(self.path / _LOCK, self._held_by, lasting=True):
            write_marker(self.path)
            try:
                yield
            except BaseException:
                if missing:
                    self._remove_bare(missing)
                raise

    def _remove_bare(self, made: Sequence[Path]) -> None:
        """Remove the folders that were made for this run, the innermost first, as long as nothing is in them."""
        if {path.name for path in self.path.iterdir()} > {_LOCK, MARKER}:
            return
        with suppress(OSError):  # someone else has begun to write there
            for name in (MARKER, _LOCK):
                (self.path / name).unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()

    def _held_by(self, process: str) -> UnavailableError:
        return UnavailableError(
            f"{self.path} is held by another run (process {process})",
            remedy="Wait for it to end, or choose another directory: --run-dir DIR",
        )
