"""Softmax, and one array in an `.npz`: the same array gives the same bytes, and is read back without trust."""

import io
import math
import re
import zipfile

import numpy as np

from exporters.core.errors import GateError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file knows
_MAGIC = b"\x93NUMPY\x01\x00"
# Of format 1.0 (numpy.lib.format), as NumPy writes it for plain numbers in C order.
_HEADER = re.compile(
    r"\{'descr': '([|<][uifb][1248])', 'fortran_order': False,"
    r" 'shape': \((|\d{1,10},|\d{1,10}(?:, \d{1,10}){1,7})\), \} *\n"
)


def largest_and_sum(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest logit m of each row of `[B, K]`, and `Σ exp(logit - m)`, 1 or more: float64 `[B]` each.

    `m + log Σ` is the logarithm of the sum of all exponentials, and `1 / Σ` the largest probability of the softmax.
    """
    values = logits.astype(np.float64)
    largest = values.max(axis=-1)
    return largest, np.exp(values - largest[:, None]).sum(axis=-1)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Softmax of `logits / temperature` over the last axis, in float64; a temperature of 1 changes no bit."""
    logits = logits.astype(np.float64) / temperature
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def npz_bytes(key: str, array: np.ndarray) -> bytes:
    """An uncompressed `.npz` with one array."""
    member = io.BytesIO()
    np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as stream:
        information = zipfile.ZipInfo(f"{key}.npy", _EPOCH)
        information.create_system = 3
        information.external_attr = 0o644 << 16
        stream.writestr(information, member.getvalue())
    return archive.getvalue()


def read_npz(name: str, data: bytes, key: str) -> np.ndarray:
    """Read what `npz_bytes` wrote, and only that: a file with anything besides is refused.

    No more memory is used than a small multiple of the file, whatever its headers claim.

    Raises:
        GateError: naming the file `name`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [f"{key}.npy"] or members[0].file_size > len(data):
                raise GateError(f"{name}: holds something else than the array {key!r}")
            with archive.open(members[0]) as stream:
                array = _array(stream.read(members[0].file_size))
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise GateError(f"{name}: not an array file ({str(error)[:200]})") from error
    if npz_bytes(key, array) != data:
        raise GateError(f"{name}: holds more than the array {key!r}")
    return array


def _array(member: bytes) -> np.ndarray:
    """The array of a `.npy`, copied out of it; ValueError for one whose values do not fit its header."""
    begin = len(_MAGIC) + 2
    values = begin + int.from_bytes(member[len(_MAGIC) : begin], "little")
    match = _HEADER.fullmatch(member[begin:values].decode("latin-1"))
    if not member.startswith(_MAGIC) or match is None:
        raise ValueError("not an array of plain numbers")
    dtype = np.dtype(match[1])
    shape = tuple(int(side) for side in match[2].split(",") if side)
    if math.prod(shape) * dtype.itemsize != len(member) - values:
        raise ValueError(f"{len(member) - values:,} bytes are no {match[1]} {list(shape)}")
    return np.frombuffer(member, dtype, offset=values).reshape(shape).copy()
