"""One file from the web: resumed, bounded, and proved before it takes its name."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from exporters.core.disk import free_bytes
from exporters.core.errors import UnavailableError
from exporters.core.files import read_json, write_json, writing
from exporters.core.progress import Steps
from pipeline.data.prepare.reporting import Reporter
from pipeline.data.prepare.web import TIMEOUT, Answer, CutError, RefusedError, Version, ask, unavailable

CHUNK = 2**18
ATTEMPTS = 5
"""So many connections in a row may break without a byte more than ever before."""
SPARE = 50_000_000
"""Bytes that stay free on the disk."""


class _TooLongError(Exception):
    pass


def download(
    url: str,
    path: Path,
    *,
    limit: int,
    md5: str | None = None,
    reporter: Reporter,
    timeout: float = TIMEOUT,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Fetch a file to `path`, unless it is there and right.

    It grows as `<path>.part`, from which the next attempt or the next command goes on; `<path>.part.json` holds the
    version that the server gave. A file that changed there is fetched from its beginning.

    Args:
        url: http or https, redirects too.
        path: where the file goes.
        limit: most bytes that are taken.
        md5: hex digest of the whole file; None where it is not known.
        reporter: shows the progress and failed attempts.
        timeout: seconds without a byte until a connection counts as cut.
        pause: waits before the next attempt: 1, 2, 4, 8 seconds.

    Returns:
        Hex SHA-256 of the file.

    Raises:
        UnavailableError: it cannot be had, is longer than `limit`, does not fit on the disk, or has another checksum;
            a file with another checksum is kept aside under a name of its own.
    """
    if path.exists():
        found, sha256 = _hashes(path)
        if md5 is not None and found != md5:
            raise UnavailableError(
                f"{path}: is there already, and is not the file of {url}: expected md5 {md5}, found {found}",
                remedy="Move it away, or remove it, and run the same command again.",
            )
        return sha256
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _fetch(url, part, limit, reporter, timeout, pause)
    except RefusedError as error:
        raise unavailable(url, str(error), str(path)) from error
    except _TooLongError:
        part.unlink(missing_ok=True)
        _state_file(part).unlink(missing_ok=True)
        raise UnavailableError(
            f"{url}: longer than {limit:,} bytes, which is twice what the file should have",
            remedy=f"This is not the file that was meant. Get it by hand, and put it to {path}.",
        ) from None
    found, sha256 = _hashes(part)
    if md5 is not None and found != md5:
        aside = path.with_name(f"{path.name}.{found[:8]}.wrong")
        part.replace(aside)
        _state_file(part).unlink(missing_ok=True)
        raise UnavailableError(
            f"{url}: is not the file that was meant: expected md5 {md5}, found {found}",
            remedy=f"What came is kept as {aside}. The same command fetches it again.",
        )
    part.replace(path)
    _state_file(part).unlink(missing_ok=True)
    return sha256


def _fetch(
    url: str, part: Path, limit: int, reporter: Reporter, timeout: float, pause: Callable[[float], None]
) -> None:
    """Let `part` grow until it is whole."""
    failed, most = 0, _size(part)
    while True:
        try:
            reason = _attempt(url, part, limit, reporter, timeout)
            if reason is None:
                return
        except CutError as error:
            reason = str(error)
        # A server that gives a little each time is worth asking on; one that always begins again is not.
        failed = 0 if _size(part) > most else failed + 1
        most = max(most, _size(part))
        if failed >= ATTEMPTS:
            raise RefusedError(f"{reason} ({ATTEMPTS} attempts)")
        seconds = 2.0 ** max(failed - 1, 0)
        reporter.say(f"{part.name}: {reason}; {_size(part):,} bytes are here, going on in {seconds:.0f} s")
        pause(seconds)


def _attempt(url: str, part: Path, limit: int, reporter: Reporter, timeout: float) -> str | None:
    """Take what one connection gives; why the file is not whole yet, None where it is."""
    version = _known_version(url, part)
    if version is None:
        part.unlink(missing_ok=True)  # of another address, or of a time that nobody wrote down
    start = _size(part)
    with ask(url, start, version, timeout) as answer:
        if not isinstance(answer, Answer):
            if answer == start:
                return None  # everything was there
            part.unlink()
            return "the file on the server is shorter than what is here, so it is fetched from its beginning"
        if answer.start and version is not None and version.contradicts(answer.version):
            part.unlink()
            return "the file changed on the server, so it is fetched from its beginning"
        if answer.total is not None and answer.total > limit:
            raise _TooLongError
        _require_space(part, answer, limit)
        write_json(_state_file(part), {"url": url, **asdict(answer.version)})
        description = part.name.removesuffix(".part")
        with (
            writing(part),
            part.open("r+b" if answer.start else "wb") as stream,
            _track(reporter, description, answer) as steps,
        ):
            stream.seek(answer.start)
            stream.truncate()
            here = answer.start
            while chunk := answer.read(CHUNK):
                here += len(chunk)
                if here > limit:
                    raise _TooLongError
                stream.write(chunk)
                steps.advance(len(chunk))
        return None if answer.total is None or here >= answer.total else "the connection ended early"


@contextlib.contextmanager
def _track(reporter: Reporter, description: str, answer: Answer) -> Iterator[Steps]:
    with reporter.track(description, answer.total, unit="bytes") as steps:
        if answer.start:
            steps.advance(answer.start)
        yield steps


def _require_space(part: Path, answer: Answer, limit: int) -> None:
    missing = (limit // 2 if answer.total is None else answer.total) - answer.start
    free = free_bytes(part.parent)
    if missing + SPARE > free:
        raise RefusedError(
            f"needs {(missing + SPARE) / 1e6:,.0f} MB in {part.parent}, where {free / 1e6:,.0f} MB are free"
        )


def _known_version(url: str, part: Path) -> Version | None:
    try:
        state = read_json(_state_file(part))
        return Version(state["etag"], state["last_modified"]) if state["url"] == url else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _hashes(path: Path) -> tuple[str, str]:
    """MD5, which is what the sources are known by, and SHA-256."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(2**20):
            md5.update(chunk)
            sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()
