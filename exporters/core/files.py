"""Files that are either whole or not there: atomic writes, and the hashes that prove content."""

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from exporters.core.errors import TmkdError
from exporters.core.write_errors import WriteError, try_to_write, write_cause


def sha256_bytes(data: bytes | memoryview) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


_SPECIAL = "not an ordinary file but a pipe, a socket or a device"


def open_regular(path: Path) -> BufferedReader:
    """Open an ordinary file for reading: never waits for the other end of a pipe, never reads a device.

    Raises:
        OSError: not there, not allowed, a folder, or no ordinary file.
    """
    # A pipe would let open() wait; a look before opening could be deceived.
    flags = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
    try:
        handle = os.open(path, os.O_RDONLY | flags)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise OSError(errno.EINVAL, _SPECIAL, str(path)) from error
        raise
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, os.strerror(code) if stat.S_ISDIR(mode) else _SPECIAL, str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def file_state(status: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file's content does: size, modification time, time of the last change of any kind, inode.

    Whoever sets the modification time back cannot set back the time of the last change, nor the inode of another file
    that was moved into the place.
    """
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of an ordinary file's content, read in chunks."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name `path` and the room left where the block fails to write: everything that is written goes through here.

    Args:
        path: what is being written.
        temporary: the file or folder that is written first, where there is one; it is removed if the block fails, so
            that the room it took counts as free. A library's error that gives no reason is understood by writing
            there once more.

    Raises:
        WriteError: the disk, a quota or a limit allows no more, the place is read-only, or the system refuses `path`
            for another reason. Whatever else the block raises is passed on.
    """
    try:
        yield
    except WriteError as error:
        inner = temporary is not None and (error.path == temporary or temporary in error.path.parents)
        if not inner or temporary is None:
            raise
        _remove(temporary)
        raise WriteError(path / error.path.relative_to(temporary), error.cause) from error
    except TmkdError:
        raise
    except Exception as error:
        cause = write_cause(error, (path,) if temporary is None else (path, temporary))
        if cause is None and temporary is not None:
            cause = try_to_write(temporary)
        if cause is None:
            raise
        if temporary is not None:
            _remove(temporary)
        raise WriteError(path, cause) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes its name once the block ends without an error.

    The suffix of `path` is kept, because some writers choose their format by it.

    Raises:
        WriteError: as `writing`; what stood at `path` is as it was.
    """
    temporary = new_temporary(path)
    try:
        with writing(path, temporary):
            yield temporary
        with _placing(path):
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
            _sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it takes the name, replacing an older folder, once the block ends well.

    Raises:
        WriteError: as `writing`; what stood at `path` is as it was.
    """
    with _placing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / _hidden_name(path.name, ".tmp")
        temporary.mkdir()
    try:
        with writing(path, temporary):
            yield temporary
        with _placing(path):
            if os.path.lexists(path):
                old = path.parent / _hidden_name(path.name, ".old")
                old.mkdir()
                path.replace(old / path.name)
                try:
                    temporary.replace(path)
                except BaseException:
                    (old / path.name).replace(path)
                    raise
                finally:
                    shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.replace(path)
            _sync_directory(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def new_temporary(path: Path) -> Path:
    """Make an empty hidden file beside `path`, with the same suffix, and with `path`'s folder if need be.

    Raises:
        WriteError: it cannot be made.
    """
    with _placing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / _hidden_name(path.stem, ".tmp", path.suffix)
        # The system applies the umask, which Python cannot read without changing it for all threads.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o666))
    return temporary


_LONGEST_NAME = 255
"""Bytes, on most file systems."""


def _hidden_name(stem: str, mark: str, suffix: str = "") -> str:
    """A name that is nobody's yet, `.<stem>-<random><mark><suffix>`, the stem cut to what a name has room for."""
    tail = os.fsencode(f"-{secrets.token_hex(6)}{mark}{suffix}")
    room = max(_LONGEST_NAME - 1 - len(tail), 0)
    return "." + os.fsencode(stem)[:room].decode(errors="ignore") + os.fsdecode(tail)


@contextmanager
def _placing(path: Path) -> Iterator[None]:
    """As `writing`, for steps that only bring `path` to the disk: every error of the system is one of writing."""
    try:
        yield
    except OSError as error:
        raise WriteError(path, error) from error


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def create_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically to a file that is not there yet; of several writers one succeeds.

    Raises:
        FileExistsError: something of that name is there, and stays as it is.
        WriteError: as `writing`.
    """
    temporary = new_temporary(path)
    try:
        with writing(path, temporary), temporary.open("wb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
        _sync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise WriteError(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def dump_json(value: Any) -> str:
    """JSON with sorted keys and a final newline: the same value gives the same bytes. NaN and infinity are refused."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `dump_json(value)` atomically."""
    write_text(path, dump_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
