"""The Python version of CIFAR-10 and CIFAR-100: pickles, which are opened only where they are the published files.

A pickle can run any code. So the MD5 of the bytes is compared with that of the published file first, and what is then
unpickled may name nothing but the parts of a numpy array.
"""

import codecs
import hashlib
import io
import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.files import file_state
from pipeline.data.stores.records import RecordStore

# The MD5 sums that torchvision checks (torchvision/datasets/cifar.py).
PUBLISHED: dict[str, dict[str, str]] = {
    "cifar10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "cifar100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}

_RECONSTRUCT = np.zeros(0).__reduce__()[0]  # numpy's own, whatever module it lives in now
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes into a pickle that Python 2 can read
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows arrays, dictionaries, lists, texts, bytes and numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]


@dataclass(frozen=True, eq=False)
class CifarBatch:
    """One file of images.

    Attributes:
        pixels: uint8 `[N, 3072]`, the planes of each image.
        labels: of each image.
    """

    pixels: np.ndarray
    labels: list[int]


def read_batch(path: Path, dataset: str) -> CifarBatch:
    """A batch, read once in a process for as long as its file stays as it is.

    Raises:
        UnavailableError: the file is not the published one, or not what it should hold.
        OSError: it cannot be read.
    """
    return _read_batch(path, dataset, *file_state(path.stat()))


@lru_cache(maxsize=8)
def _read_batch(path: Path, dataset: str, *_state: int) -> CifarBatch:
    content = unpickle_published(path, dataset)
    pixels = content.get(b"data")
    labels = content.get(b"labels", content.get(b"fine_labels"))
    if (
        not isinstance(pixels, np.ndarray)
        or not isinstance(labels, list)
        or pixels.dtype != np.uint8
        or pixels.shape != (len(labels), 3072)
    ):
        raise UnavailableError(f"{path}: is no batch of images with labels", remedy="unpack the original archive again")
    return CifarBatch(np.ascontiguousarray(pixels), [int(label) for label in labels])


def unpickle_published(path: Path, dataset: str) -> dict[bytes, Any]:
    """What a published pickle holds, texts as bytes.

    Raises:
        UnavailableError: the file's MD5 is not the published one, so that it was not opened; or it holds no mapping.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    found, published = hashlib.md5(data, usedforsecurity=False).hexdigest(), PUBLISHED[dataset][path.name]
    if found != published:
        raise UnavailableError(
            f"{path}: has MD5 {found} and the published file {published}; it is a pickle, which can run any code, "
            "and was not opened",
            remedy=f"unpack the original archive again, or take the binary version ({dataset[:5]}-{dataset[5:]}-binary"
            ".tar.gz), which may also hold a subset or images of your own",
        )
    try:
        content = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a pickle fails with whatever its parts meet
        raise UnavailableError(f"{path}: cannot be unpickled: {error}") from error
    if not isinstance(content, dict):
        raise UnavailableError(f"{path}: holds no mapping")
    return content


class PickledStore(RecordStore):
    """The images of the Python version under the same keys and with the same hashes as those of the binary version."""

    def read(self, key: str) -> bytes:
        """The planes of the image, `[3, 32, 32]` bytes."""
        path, number = self._place(key)
        pixels = read_batch(path, self.argument).pixels
        if number >= len(pixels):
            raise UnavailableError(f"{self.describe(key)}: the file ends before it")
        return pixels[number].tobytes()

    def _place(self, key: str) -> tuple[Path, int]:
        stem, _, number = key.rpartition("/")
        return self.root / stem, int(number)
