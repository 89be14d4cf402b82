"""Disks that are full, read-only or limited: one message, the old file intact, nothing left behind."""

import errno
import io
import os
import resource
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import atomic_directory, atomic_path, write_bytes, write_json, write_text, writing
from exporters.core.write_errors import WriteError, describe_os_error, try_to_write
from tests.small_disk import SmallDisk, small_disk

MEGABYTE = 2**20
FLOATS = np.random.default_rng(0).normal(size=(700, 700)).astype(np.float32)  # 2 MB that compress badly


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", MEGABYTE) as mounted:
        yield mounted


def torch_to_stream(path: Path) -> None:
    with path.open("wb") as stream:
        torch.save(torch.from_numpy(FLOATS), stream)


def savez(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, a=FLOATS)


def tofile(path: Path) -> None:
    with path.open("wb") as stream:
        FLOATS.tofile(stream)


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a")
        member.size = FLOATS.nbytes
        archive.addfile(member, io.BytesIO(FLOATS.tobytes()))


def image(kind: str) -> Callable[[Path], None]:
    pixels = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    return lambda path: Image.fromarray(pixels).save(path, kind, quality=100)


def model() -> onnx.ModelProto:
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 700])],
        [helper.make_tensor_value_info("y", 1, ["n", 700])],
        [onnx.numpy_helper.from_array(FLOATS, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def onnxruntime_optimized(path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model().SerializeToString(), options, providers=["CPUExecutionProvider"])


def figure(path: Path) -> None:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8, 8))
    drawn.add_axes((0, 0, 1, 1)).imshow(np.random.default_rng(0).random((900, 900, 3)))
    drawn.savefig(path, format="png", dpi=200)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "python": lambda path: path.write_bytes(FLOATS.tobytes()),
    "torch by path": lambda path: torch.save(torch.from_numpy(FLOATS), path),
    "torch to a stream": torch_to_stream,
    "numpy savez": savez,
    "numpy tofile": tofile,
    "safetensors": lambda path: save_file({"a": torch.from_numpy(FLOATS)}, path),
    "tar": tar,
    "Pillow PNG": image("PNG"),
    "Pillow JPEG": image("JPEG"),
    "Pillow TIFF": image("TIFF"),
    "onnx": lambda path: onnx.save(model(), path),
    "ONNX Runtime": onnxruntime_optimized,
    "matplotlib": figure,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_full_disk_ends_every_library_in_one_error(disk: SmallDisk, writer: str) -> None:
    path = disk.path / "weights.bin"
    path.write_text("the last good one")
    with pytest.raises(WriteError) as caught, atomic_path(path) as temporary:
        WRITERS[writer](temporary)
    error = caught.value
    assert isinstance(error, UnavailableError) and error.exit_code == 4
    free = "0.0" if writer == "torch by path" else "1.0"  # PyTorch keeps that file open, and so its room
    assert str(error).startswith(f"{path}: cannot be written: the disk is full ({free} MB are free in {disk.path})\n")
    assert "Make room there, and run the same command again" in str(error)
    assert [file.name for file in disk.path.iterdir()] == ["weights.bin"]
    assert path.read_text() == "the last good one"


def test_the_same_write_passes_once_there_is_room(disk: SmallDisk) -> None:
    path = disk.path / "a"
    with pytest.raises(WriteError):
        write_bytes(path, FLOATS.tobytes())
    disk.resize(4 * MEGABYTE)
    write_bytes(path, FLOATS.tobytes())
    assert path.read_bytes() == FLOATS.tobytes()


def test_a_folder_is_whole_or_as_it_was(disk: SmallDisk) -> None:
    folder = disk.path / "bundle"
    with atomic_directory(folder) as temporary:
        write_text(temporary / "old", "old")
    for write in (lambda inner: inner.write_bytes(FLOATS), lambda inner: write_bytes(inner, FLOATS.tobytes())):
        with pytest.raises(WriteError) as caught, atomic_directory(folder) as temporary:
            (temporary / "deep").mkdir()
            write(temporary / "deep" / "new")
        assert str(caught.value).startswith(f"{folder}")
        assert ".tmp" not in str(caught.value) and "the disk is full" in str(caught.value)
        assert [path.name for path in disk.path.rglob("*")] == ["bundle", "old"]
    with pytest.raises(WriteError, match=f"^{folder}/deep/new: "), atomic_directory(folder) as temporary:
        write_bytes(temporary / "deep" / "new", FLOATS.tobytes())


def test_lack_of_inodes_is_reported(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", MEGABYTE, "nr_inodes=4") as disk:
        for name in "ab":
            (disk.path / name).touch()
        write_text(disk.path / "c", "old")
        with pytest.raises(WriteError, match="no room for another file: all 4 inodes are taken"):
            write_text(disk.path / "c", "new")
        assert (disk.path / "c").read_text() == "old"


def test_read_only_file_system_is_reported(disk: SmallDisk) -> None:
    (disk.path / "a").write_text("old")
    disk.remount("ro")
    for write in (
        lambda: write_text(disk.path / "a", "new"),
        lambda: write_text(disk.path / "new" / "a", "new"),
        lambda: atomic_directory(disk.path / "b").__enter__(),
    ):
        with pytest.raises(WriteError, match="the file system is read-only"):
            write()
    assert (disk.path / "a").read_text() == "old"


def test_file_size_limit_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, hard))
    try:
        for write in (WRITERS["python"], WRITERS["torch by path"], WRITERS["torch to a stream"], tofile):
            with (
                pytest.raises(WriteError, match="it would be larger than a file may be here"),
                atomic_path(path) as new,
            ):
                write(new)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EDQUOT, "the quota on this disk is used up ("),
        (errno.ENOSPC, "the disk is full ("),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "the disk reports an input/output error"),
        (errno.EMFILE, os.strerror(errno.EMFILE)),
    ],
)
def test_system_errors_are_reported_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, reason: str
) -> None:
    """Quotas and failing disks, which a test cannot have, are simulated by a failing system call."""
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*{"open": (os, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(WriteError) as caught:
        write_text(path, "new")
    monkeypatch.undo()
    assert str(caught.value).startswith(f"{path}: cannot be written: {reason}")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_long_names_are_written_and_invalid_paths_reported(tmp_path: Path) -> None:
    for longest in ("x" * 255, "ä" * 127, "x" * 100 + "." + "y" * 154):
        write_text(tmp_path / longest, "new")
        assert (tmp_path / longest).read_text() == "new"
        with atomic_directory(tmp_path / f"{longest[:-1]}z"):
            pass
    with pytest.raises(WriteError, match="its name is too long"):
        write_text(tmp_path / ("x" * 256), "new")
    (tmp_path / "file").touch()
    for inside in ("file/a", "file/deep/a"):
        with pytest.raises(WriteError, match="something that is no folder is in its path"):
            write_text(tmp_path / inside, "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="it is a folder"):
        write_text(tmp_path / "folder", "new")


def test_other_errors_are_passed_on(tmp_path: Path) -> None:
    for error in (RuntimeError("a bug"), GateError("no"), FileNotFoundError(errno.ENOENT, "no such file", "source")):
        with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "a"):
            raise error
        assert caught.value is error
        with pytest.raises(type(error)) as caught, writing(tmp_path / "a"):
            raise error
        assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_is_not_taken_for_one_of_this(tmp_path: Path) -> None:
    elsewhere = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "standard output")
    with pytest.raises(OSError, match="standard output") as caught, atomic_path(tmp_path / "a"):
        raise elsewhere
    assert caught.value is elsewhere and list(tmp_path.iterdir()) == []


def test_uncaught_errors_are_described(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    assert describe_os_error(OSError(errno.ENOSPC, "no", path)).startswith(
        f"{path}: cannot be written: the disk is full ("
    )
    assert describe_os_error(OSError(errno.ENOSPC, "no", "standard output")) == "standard output: no"
    assert describe_os_error(OSError(errno.ENOENT, "no", path)) == f"{path}: no"
    assert describe_os_error(OSError("what")) == "what"


def test_try_to_write_leaves_nothing_in_a_folder(tmp_path: Path) -> None:
    assert try_to_write(tmp_path) is None and list(tmp_path.iterdir()) == []
    assert try_to_write(tmp_path / "absent") is None and list(tmp_path.iterdir()) == []


def test_the_umask_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The umask belongs to all threads: a file that another one makes meanwhile would be writable for everybody."""

    def fail(_mask: int) -> int:
        raise AssertionError("the umask was changed")

    monkeypatch.setattr(os, "umask", fail)
    write_json(tmp_path / "a.json", {})
    with atomic_directory(tmp_path / "b"):
        pass
