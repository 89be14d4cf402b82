"""Arrays of an uncompressed `.npz`, mapped into memory: processes share the pages, and none copies them."""

import io
import mmap
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

_LOCAL_HEADER = struct.Struct("<4s22xHH")


def map_npz(path: Path) -> dict[str, np.ndarray]:
    """Map what `numpy.savez` wrote; the arrays are read-only, and stay valid when the file is replaced.

    Raises:
        ValueError: a damaged or compressed file, or one that is no `.npz`; zipfile's errors for the first too.
        OSError: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        members = archive.infolist()
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return {member.filename.removesuffix(".npy"): _array(mapped, member) for member in members}


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
