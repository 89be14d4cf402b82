"""Arrays of an uncompressed `.npz`, mapped into memory: processes share the pages, and none copies them."""

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_LOCAL_HEADER = struct.Struct("<4s22xHH")


class MappedArrays(dict[str, np.ndarray]):
    """Read-only arrays by name, in one mapped file; they stay valid when the file is replaced."""

    def __init__(self, arrays: Mapping[str, np.ndarray], mapped: mmap.mmap) -> None:
        super().__init__(arrays)
        self._mapped = mapped

    def forget_pages(self) -> None:
        """Let this process hold none of the pages that it has read, until it reads them again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


def map_npz(path: Path) -> MappedArrays:
    """Map what `numpy.savez` wrote.

    Raises:
        ValueError: a damaged or compressed file, or one that is no `.npz`; zipfile's errors for the first too.
        OSError: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        members = archive.infolist()
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return MappedArrays({member.filename.removesuffix(".npy"): _array(mapped, member) for member in members}, mapped)


def _array(mapped: mmap.mmap, member: zipfile.ZipInfo) -> np.ndarray:
    signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(mapped, member.header_offset)
    start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    content = memoryview(mapped)[start : start + member.file_size]
    if signature != b"PK\x03\x04" or member.compress_type != zipfile.ZIP_STORED or len(content) != member.file_size:
        raise ValueError(f"{member.filename} is not stored as it is")
    if zlib.crc32(content) != member.CRC:
        raise ValueError(f"{member.filename} is damaged")
    header = io.BytesIO(content[:1024])
    if np.lib.format.read_magic(header) != (1, 0):
        raise ValueError(f"{member.filename} is of another version of .npy")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(header)
    if fortran_order or dtype.hasobject:
        raise ValueError(f"{member.filename} holds what cannot be mapped")
    return np.frombuffer(content[header.tell() :], dtype=dtype).reshape(shape)
