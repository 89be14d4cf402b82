"""Why a file could not be written, in one message: the file, the reason, the room that is left, what to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from exporters.core.errors import UnavailableError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota on this disk is used up",
    errno.EFBIG: "it would be larger than a file may be here (`ulimit -f`, or the file system's own limit)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENAMETOOLONG: "its name is too long for this file system",
    errno.EEXIST: "something that is no folder is in its path",
    errno.ENOTDIR: "something that is no folder is in its path",
    errno.EISDIR: "it is a folder",
    errno.EIO: "the disk reports an input/output error",
}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OF_WRITING = _NO_ROOM | {errno.EROFS}
"""What only a write fails with; other errors may be of something that was read."""
_PROBE_BYTES = 2**20


class WriteError(UnavailableError):
    """A file or folder that could not be written (exit 4).

    Args:
        path: what was to be written.
        cause: what the system said.

    Attributes:
        path, cause: as given.
    """

    def __init__(self, path: Path, cause: OSError) -> None:
        room = "" if cause.errno not in _OF_WRITING else _room(path, cause.errno == errno.ENOSPC)
        reason = _REASONS.get(cause.errno or 0) or cause.strerror or str(cause)
        super().__init__(f"{path}: cannot be written: {reason}{room}", remedy=_remedy(cause.errno))
        self.path = path
        self.cause = cause


def write_cause(error: BaseException, places: tuple[Path, ...]) -> OSError | None:
    """The failure to write behind an error, which libraries wrap in errors of their own; None where there is none.

    Args:
        error: whatever was raised.
        places: files and folders that were being written. An error of the system counts if it names one of them, or
            something below it, or if it names nothing and is one that only writes end with.
    """
    for found in _chain(error):
        if isinstance(found, OSError) and found.errno is not None:
            nameless = found.filename is None and found.errno in _OF_WRITING
            if nameless or _names(found, places):
                return found
    return None


def full_cache(error: BaseException, folder: Path) -> WriteError | None:
    """What to raise where a library that fetches files ran out of room; None where that is not why it failed.

    Args:
        error: of the library.
        folder: where it keeps what it fetches, for errors that name no file.
    """
    for found in _chain(error):
        if isinstance(found, OSError) and found.errno in _OF_WRITING:
            named = isinstance(found.filename, str | bytes)
            return WriteError(Path(os.fsdecode(found.filename)) if named else folder, found)
    return None


def describe_os_error(error: OSError) -> str:
    """Message of an uncaught system error, with the free space if it names the file that could not be written."""
    if error.errno in _OF_WRITING and isinstance(error.filename, str) and os.sep in error.filename:
        return str(WriteError(Path(error.filename), error))
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def try_to_write(place: Path) -> OSError | None:
    """Try to write one more MiB to a temporary file or folder; gives the system's error, or None.

    For libraries that only say that something failed, such as PyTorch, ONNX Runtime and NumPy's `tofile`.
    """
    target = place / ".room" if place.is_dir() else place
    if not place.exists():
        return None
    try:
        with target.open("ab") as stream:
            stream.write(bytes(_PROBE_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return error
    finally:
        if target != place:
            target.unlink(missing_ok=True)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _names(error: OSError, places: tuple[Path, ...]) -> bool:
    if not isinstance(error.filename, str | bytes):
        return False
    named = Path(os.fsdecode(error.filename))
    return any(named == place or place in named.parents for place in places)


def _room(path: Path, may_be_inodes: bool) -> str:
    """How much is free where `path` was to be, as the end of a sentence; nothing where that cannot be known."""
    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), None)
    try:
        if folder is None:
            return ""
        free = f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB are free in {folder}"
        system = os.statvfs(folder)
    except OSError:
        return ""
    if may_be_inodes and system.f_files and not system.f_favail:
        return f" ({free}, but it has no room for another file: all {system.f_files:,} inodes are taken)"
    return f" ({free})"


def _remedy(code: int | None) -> str:
    if code in _NO_ROOM:
        return "Make room there, and run the same command again: what was finished before is unharmed."
    return "Choose another place, or make this one writable; what was finished before is unharmed."
