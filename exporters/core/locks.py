"""Lock files: one process at a time writes into a folder; the error of a second one names the first.

Several processes may also hold a lock together, which keeps away whoever wants it alone.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from exporters.core.errors import TmkdError, UnavailableError
from exporters.core.files import writing
from exporters.core.write_errors import WriteError

_ORPHANS = 8.0
"""Seconds that are waited for the children of a holder that was killed: they share its lock, and end soon after it."""

_ELSEWHERE = "Choose a folder elsewhere, on a disk that can be written and has locks."


@contextmanager
def held(lock: Path, refusal: Callable[[str], TmkdError], *, lasting: bool = False) -> Iterator[None]:
    """Hold a lock file, which names the process that holds it; the system frees it when that process dies.

    Args:
        lock: created with its folder if missing.
        refusal: called with the id of the process that holds the lock, or `unknown`; gives the error to raise.
        lasting: keep the file at the end instead of removing it.

    Raises:
        TmkdError: `refusal(…)`, while another process holds it.
        UnavailableError: the file cannot be made, or the file system has no locks.
    """
    with _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, refusal) as stream:
        with writing(lock):
            # Not through the stream: what a full disk leaves in its buffer would fail once more when it is closed.
            os.ftruncate(stream.fileno(), 0)
            os.write(stream.fileno(), str(os.getpid()).encode())
        try:
            yield
        finally:
            if not lasting:
                lock.unlink(missing_ok=True)  # still held: whoever waits for it makes a new one


@contextmanager
def held_in_turn(lock: Path) -> Iterator[None]:
    """Hold a lock file alone, after whoever holds it now; it is removed at the end.

    Args:
        lock: created with its folder if missing.

    Raises:
        UnavailableError: the file cannot be made, or the file system has no locks.
    """
    with _locked(lock, fcntl.LOCK_EX, None):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # still held: whoever waits for it makes a new one


@contextmanager
def held_together(lock: Path) -> Iterator[None]:
    """Hold a lock file beside others that do so too, until the block ends; `held` is refused meanwhile.

    Waits for a process that holds it alone. The file stays.

    Raises:
        UnavailableError: the file cannot be made, or the file system has no locks.
    """
    with _locked(lock, fcntl.LOCK_SH, None):
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock file, alone or together with others; makes no file."""
    try:
        stream = lock.open("rb")
    except OSError:
        return False
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _locked(lock: Path, how: int, refusal: Callable[[str], TmkdError] | None) -> TextIO:
    """The open lock file, locked; without a `refusal`, `how` waits."""
    deadline = time.monotonic() + _ORPHANS
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stream = lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise UnavailableError(WriteError(lock.parent, error).message, remedy=_ELSEWHERE) from error
        try:
            fcntl.flock(stream, how)
        except BlockingIOError as error:
            assert refusal is not None
            with stream:
                stream.seek(0)
                holder = stream.read().strip()
            if _is_dead(holder) and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            raise refusal(holder or "unknown") from error
        except OSError as error:
            stream.close()
            raise UnavailableError(
                f"{lock} cannot be locked ({error.strerror}), so that another process could write there too",
                remedy=_ELSEWHERE,
            ) from error
        if _is_at(stream, lock):
            return stream
        stream.close()  # its last holder removed it meanwhile


def _is_dead(process: str) -> bool:
    """Whether a process that a lock file names is gone; one of another machine may seem so."""
    if not process.isdecimal() or len(process) > 10:
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _is_at(stream: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
