"""Softmax, and one array in an `.npz`: the same array gives the same bytes, and is read back without trust."""

import io
import zipfile

import numpy as np

from exporters.core.errors import GateError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file knows


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    logits = logits.astype(np.float64)
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

    Raises:
        GateError: naming the file `name`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [f"{key}.npy"] or members[0].file_size > len(data):
                raise GateError(f"{name}: holds something else than the array {key!r}")
            with archive.open(members[0]) as stream:
                array = np.lib.format.read_array(io.BytesIO(stream.read()), allow_pickle=False)
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise GateError(f"{name}: not an array file ({str(error)[:200]})") from error
    if npz_bytes(key, array) != data:
        raise GateError(f"{name}: holds more than the array {key!r}")
    return array
