"""Archives unpacked so that nothing leaves the target: whole or not at all, bounded in number and size."""

import bz2
import contextlib
import gzip
import lzma
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from exporters.core.errors import UnavailableError
from exporters.core.files import read_json, write_json, writing
from exporters.core.progress import Steps
from exporters.core.write_errors import WriteError, write_cause
from pipeline.data.prepare.reporting import Reporter
from pipeline.data.prepare.streams import CHUNK, Counted, Forward, RefusedError

MOST_FILES = 1_000_000


def unpack(
    archive: Path,
    target: Path,
    work: Path,
    *,
    sha256: str,
    limit: int,
    reporter: Reporter,
    most_files: int = MOST_FILES,
) -> list[str]:
    """Unpack a tar (plain, gz, bz2, xz) or zip into a folder, unless that was done already.

    Everything is unpacked below `work` first; only then do the top-level entries take their names in `target`, one
    rename each. Every file is an ordinary one: owners, modes and times of the archive do not count.

    Args:
        archive: the file.
        target: the folder that the entries appear in.
        work: a folder on the same disk, for what is not finished, and for the record of what is.
        sha256: of the archive; another archive of the same name is unpacked again.
        limit: most bytes that may come out of it.
        reporter: shows the progress.
        most_files: most files and folders.

    Returns:
        Names of the top-level entries in `target`.

    Raises:
        UnavailableError: the archive is damaged, holds an absolute path, a `..`, a link, a device, two names that
            differ only in case, or more than the limits; or an entry is in `target` and does not come from here.
    """
    record, content = work / f"{archive.name}.json", work / f"{archive.name}.content"
    known = _read_record(record, sha256)
    places = (target, content) if known is not None and known["moving"] else (target,)
    if known is None or not all(any(_there(place / name) for place in places) for name in known["entries"]):
        ours = set(known["entries"]) if known else set()
        _extract(archive, content, limit, reporter, most_files)
        entries = sorted(path.name for path in content.iterdir())
        if foreign := [name for name in entries if _there(target / name) and name not in ours]:
            shutil.rmtree(content)
            raise UnavailableError(
                f"{target / foreign[0]}: is there already, and was not unpacked by this command",
                remedy="Move it away, or give another folder by --root.",
            )
        known = {"sha256": sha256, "entries": entries, "moving": True}
        write_json(record, known)
    if known["moving"]:
        with writing(target):
            target.mkdir(parents=True, exist_ok=True)
            for name in known["entries"]:
                if not _there(target / name):
                    (content / name).rename(target / name)
        shutil.rmtree(content, ignore_errors=True)
        write_json(record, {**known, "moving": False})
    return list(known["entries"])


def unpacked(archive: str, target: Path, work: Path) -> bool:
    """Whether an archive of this name was unpacked here, and its entries are still there."""
    known = _read_record(work / f"{archive}.json", None)
    return known is not None and not known["moving"] and all(_there(target / name) for name in known["entries"])


def _read_record(record: Path, sha256: str | None) -> dict[str, Any] | None:
    try:
        found = read_json(record)
        if sha256 is not None and found["sha256"] != sha256:
            return None
        return {"sha256": found["sha256"], "entries": list(found["entries"]), "moving": bool(found["moving"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _extract(archive: Path, content: Path, limit: int, reporter: Reporter, most_files: int) -> None:
    """Unpack into a folder of its own, which does not exist unless all went well."""
    if content.exists():
        shutil.rmtree(content)  # of a command that was interrupted
    with writing(content):
        content.mkdir(parents=True)
    sink = _Sink(content, limit, most_files)
    try:
        with reporter.track(f"unpacking {archive.name}", archive.stat().st_size, unit="bytes") as steps:
            if zipfile.is_zipfile(archive):
                _extract_zip(archive, sink, steps)
            else:
                _extract_tar(archive, sink, steps)
        if not any(content.iterdir()):
            raise RefusedError("it holds no files")
    except RefusedError as error:
        shutil.rmtree(content, ignore_errors=True)
        raise UnavailableError(
            f"{archive}: will not be unpacked: {error}", remedy="This is not an archive that its authors would give."
        ) from error
    except Exception as error:  # decompressors raise whatever they meet: zlib.error, EOFError, ValueError, …
        shutil.rmtree(content, ignore_errors=True)
        if (cause := write_cause(error, (content,))) is not None:
            raise WriteError(Path(cause.filename or content), cause) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the archive
        raise UnavailableError(
            f"{archive}: is damaged: {error or type(error).__name__}",
            remedy="Remove it, and run the same command again.",
        ) from error
    except BaseException:
        shutil.rmtree(content, ignore_errors=True)
        raise


class _Sink:
    """Where files are written: knows every name so far, and how much has come out."""

    def __init__(self, folder: Path, limit: int, most_files: int) -> None:
        self._folder = folder
        self.limit = limit
        self.most_files = most_files
        self._bytes = 0
        self._names: dict[str, tuple[str, bool]] = {}  # folded → as it is written, whether a folder

    def folder(self, name: str) -> None:
        """Make a folder."""
        parts = _parts(name)
        if parts:
            self._claim(parts, folder=True)
            self._folder.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def file(self, name: str, size: int, stream: IO[bytes]) -> None:
        """Write a file of at most `size` bytes."""
        parts = _parts(name)
        if not parts:
            raise RefusedError(f"{name!r} is no name for a file")
        self._claim(parts, folder=False)
        if size < 0 or self._bytes + size > self.limit:
            raise RefusedError(f"more than {self.limit:,} bytes would come out of it")
        path = self._folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            written = 0
            while chunk := stream.read(CHUNK):
                written += len(chunk)
                self._bytes += len(chunk)
                if written > size or self._bytes > self.limit:
                    raise RefusedError(f"{name!r} is longer than the archive says")
                out.write(chunk)
        if written != size:
            raise EOFError(f"{name!r} ends early")

    def _claim(self, parts: tuple[str, ...], folder: bool) -> None:
        for length in range(1, len(parts) + 1):
            path = "/".join(parts[:length])
            is_folder = folder or length < len(parts)
            folded = unicodedata.normalize("NFC", path).casefold()
            known = self._names.get(folded)
            if known is None:
                self._names[folded] = (path, is_folder)
                if len(self._names) > self.most_files:
                    raise RefusedError(f"it holds more than {self.most_files:,} files")
            elif known != (path, True) or not is_folder:
                raise RefusedError(f"{path!r} stands twice in it" + ("" if known[0] == path else f" ({known[0]!r})"))


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the name of an entry.

    Raises:
        RefusedError: it leads out of the target, or is no name on every system.
    """
    if name.startswith("/") or "\\" in name or "\0" in name or (len(name) > 1 and name[1] == ":"):
        raise RefusedError(f"{name[:200]!r} is no relative path")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RefusedError(f"{name[:200]!r} is not UTF-8") from None
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    if ".." in parts:
        raise RefusedError(f"{name[:200]!r} leads out of the folder")
    return parts


def _extract_tar(archive: Path, sink: _Sink, steps: Steps) -> None:
    with archive.open("rb") as raw, contextlib.ExitStack() as opened:
        magic = raw.read(6)
        raw.seek(0)
        stream = cast(IO[bytes], Counted(raw, steps))
        if magic.startswith(b"\x1f\x8b"):
            stream = cast(IO[bytes], opened.enter_context(gzip.GzipFile(fileobj=stream)))
        elif magic.startswith(b"BZh"):
            stream = cast(IO[bytes], opened.enter_context(bz2.BZ2File(stream)))
        elif magic == b"\xfd7zXZ\0":
            stream = cast(IO[bytes], opened.enter_context(lzma.LZMAFile(stream)))
        # Tarfile would read a header of any length that it claims to have.
        forward = Forward(stream, sink.limit + 4096 * sink.most_files)
        with tarfile.open(fileobj=cast(IO[bytes], forward), mode="r:") as tar:
            for member in _members(tar):
                if member.isdir():
                    sink.folder(member.name)
                elif member.isreg():
                    content = tar.extractfile(member)
                    assert content is not None
                    with content:
                        sink.file(member.name, member.size, content)
                elif member.issym() or member.islnk():
                    raise RefusedError(f"{member.name[:200]!r} is a link")
                else:
                    raise RefusedError(f"{member.name[:200]!r} is neither a file nor a folder")


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined] # tarfile would keep them all
        yield member


def _extract_zip(archive: Path, sink: _Sink, steps: Steps) -> None:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.flag_bits & 1:
                raise RefusedError(f"{entry.filename[:200]!r} is encrypted")
            if kind == stat.S_IFLNK:
                raise RefusedError(f"{entry.filename[:200]!r} is a link")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise RefusedError(f"{entry.filename[:200]!r} is neither a file nor a folder")
            if entry.is_dir():
                sink.folder(entry.filename)
            else:
                try:
                    with opened.open(entry) as stream:
                        sink.file(entry.filename, entry.file_size, stream)
                except NotImplementedError as error:
                    raise RefusedError(f"{entry.filename[:200]!r}: {error}") from error
            steps.advance(entry.compress_size)
