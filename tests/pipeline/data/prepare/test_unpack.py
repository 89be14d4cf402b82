import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from exporters.core.write_errors import WriteError
from pipeline.data.prepare import unpack as module
from pipeline.data.prepare.unpack import unpack, unpacked
from tests.pipeline.data.prepare.conftest import Reporter
from tests.small_disk import small_disk

RANDOM = np.random.default_rng(1)
# Lengths of whole blocks of tar are those after which tarfile steps back by a byte.
FILES = {
    f"set/images/{i:03}.bin": RANDOM.bytes(length) for i, length in enumerate([0, 1, 511, 512, 8192, 2**20, 2**21])
}
FILES["set/readme.txt"] = b"hello"


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o4777
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def do(archive: Path, limit: int = 10**7, sha256: str = "1", most_files: int = 100) -> list[str]:
    root = archive.parent / "root"
    return unpack(
        archive, root, root / ".prepare", sha256=sha256, limit=limit, reporter=Reporter(), most_files=most_files
    )


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".prepare" not in path.parts
    }


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_every_archive_format_is_unpacked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.archive"
    archive = zip_of(path, FILES) if kind == "zip" else tar_of(path, FILES, kind)
    assert do(archive) == ["set"]
    root = tmp_path / "root"
    assert contents(root) == FILES
    assert not any(path.stat().st_mode & 0o7000 for path in root.rglob("*"))
    assert [path.name for path in (root / ".prepare").iterdir()] == ["a.archive.json"]
    assert unpacked("a.archive", root, root / ".prepare") and not unpacked("b", root, root / ".prepare")


def test_a_compressed_tar_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tarfile steps back by a byte after a file of whole blocks; a gzip stream would begin again for that."""
    files = {f"{i}.bin": RANDOM.bytes(2**16) for i in range(20)}
    archive = tar_of(tmp_path / "a.tgz", files)
    reporter = Reporter()
    root = tmp_path / "root"
    unpack(archive, root, root / ".prepare", sha256="1", limit=10**7, reporter=reporter)
    assert contents(root) == files
    ((_, total, steps),) = reporter.tracked
    assert steps.done == total == archive.stat().st_size


def test_finished_archives_are_not_unpacked_twice(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tgz", {"one/x": b"1", "two": b"2"})
    do(archive)
    root = tmp_path / "root"
    (root / "one" / "x").write_bytes(b"changed by its owner")
    assert do(archive) == ["one", "two"]
    assert contents(root)["one/x"] == b"changed by its owner"
    (root / "two").unlink()
    do(archive)  # what was removed comes back, the rest stays
    assert contents(root) == {"one/x": b"changed by its owner", "two": b"2"}


def test_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "set").mkdir(parents=True)
    with pytest.raises(UnavailableError, match="set: is there already") as caught:
        do(tar_of(tmp_path / "a.tgz", FILES))
    assert "--root" in str(caught.value) and list((root / "set").iterdir()) == []


@pytest.mark.parametrize("after", [0, 1, 2])
def test_interruption_between_renames_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    files = {"one/x": b"1", "three/x": b"3", "two": b"2"}
    archive = tar_of(tmp_path / "a.tgz", files)
    rename, renamed = Path.rename, []

    def interrupt(self: Path, target: Path) -> Path:
        if len(renamed) == after:
            raise KeyboardInterrupt
        renamed.append(target)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do(archive)
    assert not unpacked("a.tgz", tmp_path / "root", tmp_path / "root" / ".prepare")
    monkeypatch.setattr(module, "_extract", None)  # what is unpacked already is not unpacked again
    assert do(archive) == ["one", "three", "two"]
    assert contents(tmp_path / "root") == files


def test_interruption_while_unpacking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar_of(tmp_path / "a.tgz", FILES)

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module._Sink, "folder", interrupt)
        patch.setattr(module, "_members", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do(archive)
    assert contents(tmp_path / "root") == {}
    do(archive)
    assert contents(tmp_path / "root") == FILES


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside", "leads out"),
        ("set/../../outside", "leads out"),
        ("/outside", "no relative path"),
        ("..\\outside", "no relative path"),
        ("C:/outside", "no relative path"),
        (".", "no name"),
        ("not utf-8 \udcff", "not UTF-8"),
    ],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_paths_outside_the_root_are_refused(tmp_path: Path, name: str, reason: str, kind: str) -> None:
    if kind == "zip" and "\udcff" in name:
        return  # names in a zip are never undecodable
    files = {"set/good": b"1", name: b"2"}
    archive = tar_of(tmp_path / "a", files) if kind == "tar" else zip_of(tmp_path / "a", files)
    with pytest.raises(UnavailableError, match=reason) as caught:
        do(archive)
    assert str(archive) in caught.value.message
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {"a", "root", "root/.prepare"}


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (special("set/link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (special("set/link", tarfile.SYMTYPE, "good"), "is a link"),
        (special("set/link", tarfile.LNKTYPE, "set/good"), "is a link"),
        (special("set/null", tarfile.CHRTYPE), "neither a file nor a folder"),
        (special("set/disk", tarfile.BLKTYPE), "neither a file nor a folder"),
        (special("set/pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (special("set/GOOD", tarfile.REGTYPE), "stands twice in it"),
        (special("SET/other", tarfile.REGTYPE), "stands twice in it"),
        (special("set/good", tarfile.REGTYPE), "stands twice in it"),
        (special("set/good/below", tarfile.REGTYPE), "stands twice in it"),
        (special("set", tarfile.REGTYPE), "stands twice in it"),
    ],
)
def test_links_devices_and_duplicates_in_a_tar_are_refused(
    tmp_path: Path, member: tarfile.TarInfo, reason: str
) -> None:
    archive = tar_with(tmp_path / "a.tar", special("set/good", tarfile.REGTYPE), member)
    with pytest.raises(UnavailableError, match=reason):
        do(archive)
    assert contents(tmp_path / "root") == {}


def test_repeated_folder_entries_are_accepted(tmp_path: Path) -> None:
    members = [special(name, tarfile.DIRTYPE) for name in ("set", "set/", "./set")]
    assert do(tar_with(tmp_path / "a.tar", *members, special("./set/x", tarfile.REGTYPE))) == ["set"]


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UnavailableError, match=r"is a link|neither a file nor a folder"):
        do(tmp_path / "a.zip")


def test_bombs_are_stopped_at_the_limit(tmp_path: Path) -> None:
    bomb = {"a": bytes(5 * 10**6), "b": bytes(5 * 10**6), "c": bytes(5 * 10**6)}
    for archive in (zip_of(tmp_path / "a.zip", bomb), tar_of(tmp_path / "a.tgz", bomb)):
        assert archive.stat().st_size < 50_000
        with pytest.raises(UnavailableError, match="more than 10,000,000 bytes"):
            do(archive)
        assert contents(tmp_path / "root") == {}


def test_zip_with_a_false_size_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": bytes(10**6)})
    data = archive.read_bytes().replace(struct.pack("<I", 10**6), struct.pack("<I", 10))
    archive.write_bytes(data)
    with pytest.raises(UnavailableError, match=r"is damaged|longer than"):
        do(archive)
    assert contents(tmp_path / "root") == {}


def test_oversized_header_is_refused(tmp_path: Path) -> None:
    header = special("long", tarfile.XHDTYPE)
    header.size = 10**9
    block = header.tobuf(tarfile.USTAR_FORMAT)
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(block + bytes(10**5)))
    with pytest.raises(UnavailableError, match="a header of it claims"):
        do(tmp_path / "a.tar.xz")


def test_too_many_empty_files_are_refused(tmp_path: Path) -> None:
    files = {f"{i}/{i}": b"" for i in range(60)}
    for archive in (tar_of(tmp_path / "a.tgz", files), zip_of(tmp_path / "a.zip", files)):
        with pytest.raises(UnavailableError, match="more than 100 files"):
            do(archive)


def test_encrypted_and_empty_archives_are_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": b"x"})
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    archive.write_bytes(data)
    with pytest.raises(UnavailableError, match="encrypted"):
        do(archive)
    with pytest.raises(UnavailableError, match="holds no files"):
        do(tar_of(tmp_path / "b.tar", {}, "w"))


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(["w", "w:gz", "w:bz2", "w:xz", "zip"]), data=st.data())
def test_damaged_archives_give_files_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    files = {"set/a": b"a" * 600, "set/b": b"b" * 100}
    archive = zip_of(folder / "a", files) if kind == "zip" else tar_of(folder / "a", files, kind)
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    archive.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    before = {path.name for path in folder.iterdir()}
    try:
        do(archive)
    except UnavailableError:
        assert contents(folder / "root") == {}
    assert {path.name for path in folder.iterdir()} <= before | {"root"}


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_a_full_disk_leaves_the_archive_alone(tmp_path: Path, make: Any) -> None:
    archive = make(tmp_path / "a.archive", FILES)
    with small_disk(tmp_path / "root", 2**21) as disk:
        with pytest.raises(
            WriteError, match=rf"^{disk.path}/.*: cannot be written: the disk is full \(2\.1 MB are free"
        ):
            do(archive)
        assert [path.name for path in disk.path.rglob("*")] == [".prepare"]
        disk.resize(2**23)
        assert do(archive) == ["set"]


def test_overlong_name_is_not_reported_as_damage(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", {"x" * 300: b"1"})
    with pytest.raises(WriteError, match="its name is too long for this file system"):
        do(archive)
