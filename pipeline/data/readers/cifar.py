"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as their archives unpack: the binary version, or the Python version.

The Python version is pickled. It is opened only where every file is the published one, so that its 50,000 and 10,000
images are certain. The binary version may be cut down to fewer whole records, which the stage `data` says.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split, SplitName
from pipeline.data.readers.common import check_every_class, existing_root, readable_names
from pipeline.data.stores.pickled import read_batch, unpickle_published
from pipeline.data.stores.records import LAYOUTS

_BLOCK = 1024
"""Records that are read at a time."""

OFFICIAL: dict[SplitName, int] = {"train": 50_000, "test": 10_000}


@dataclass(frozen=True)
class _Cifar:
    """Where the parts of one of the two data sets lie."""

    name: str
    binary_folder: str
    binary_names: str
    python_folder: str
    python_names: tuple[str, bytes]
    files: dict[SplitName, tuple[str, ...]]

    @property
    def remedy(self) -> str:
        """What data.root should hold."""
        return (
            f"data.root must hold {self.binary_folder}/ or {self.python_folder}/, as {self.name}-binary.tar.gz or "
            f"{self.name}-python.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html unpack"
        )


_CIFAR10 = _Cifar(
    "cifar-10",
    "cifar-10-batches-bin",
    "batches.meta.txt",
    "cifar-10-batches-py",
    ("batches.meta", b"label_names"),
    {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
)
_CIFAR100 = _Cifar(
    "cifar-100",
    "cifar-100-binary",
    "fine_label_names.txt",
    "cifar-100-python",
    ("meta", b"fine_label_names"),
    {"train": ("train",), "test": ("test",)},
)


def read_cifar10(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits of CIFAR-10; see `_read`."""
    return _read(_CIFAR10, "cifar10", root)


def read_cifar100(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits of CIFAR-100 with its 100 fine labels; see `_read`."""
    return _read(_CIFAR100, "cifar100", root)


def _read(cifar: _Cifar, dataset: str, root: Path | None) -> Listing:
    """List the records of every file; a key is the file and the record's number in either version.

    Raises:
        UnavailableError: a file is missing, is no whole number of records, has a label that is no class, or is a
            pickle other than the published one; names the file.
    """
    root = existing_root(root, dataset, cifar.remedy)
    binary = _folder(root, cifar.binary_folder, f"{cifar.files['test'][0]}.bin")
    python = _folder(root, cifar.python_folder, cifar.python_names[0])
    folder = binary or python
    if folder is None:
        raise UnavailableError(
            f"data.root: {root} has neither {cifar.binary_folder}/ nor {cifar.python_folder}/", remedy=cifar.remedy
        )
    try:
        names = _binary_names(folder / cifar.binary_names) if binary else _python_names(folder, cifar, dataset)
        splits: dict[SplitName, Split] = {}
        for split, stems in cifar.files.items():
            splits[split] = Split([], [])
            for stem in stems:
                labels = _binary_labels(folder, stem, dataset) if binary else read_batch(folder / stem, dataset).labels
                wrong = next((number for number, label in enumerate(labels) if not 0 <= label < len(names)), None)
                if wrong is not None:
                    raise UnavailableError(
                        f"{folder / stem}, image {wrong}: label {labels[wrong]} is none of {len(names)} classes",
                        remedy="unpack the original archive again",
                    )
                splits[split].paths.extend(f"{stem}/{number}" for number in range(len(labels)))
                splits[split].labels.extend(labels)
    except OSError as error:
        missing = error.filename or folder
        raise UnavailableError(f"{missing}: cannot be read: {error.strerror or error}", remedy=cifar.remedy) from error
    check_every_class(folder, names, splits)
    store = f"{'records' if binary else 'pickled'}:{dataset}"
    return Listing(folder, readable_names(names, folder), splits, official=OFFICIAL, store=store)


def _folder(root: Path, name: str, file: str) -> Path | None:
    """The folder of a version: below the root, or the root itself where it holds the file."""
    if (root / name).is_dir():
        return root / name
    return root if (root / file).is_file() and (root.name == name or file != "test") else None


def _binary_names(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UnavailableError(f"{path}: cannot be read: {error}") from error


def _python_names(folder: Path, cifar: _Cifar, dataset: str) -> list[str]:
    file, key = cifar.python_names
    names = unpickle_published(folder / file, dataset).get(key)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise UnavailableError(f"{folder / file}: has no list {key.decode()}")
    return [name.decode("utf-8", "replace") for name in names]


def _binary_labels(folder: Path, stem: str, dataset: str) -> list[int]:
    """The label of each record: its last byte before the pixels (CIFAR-100: the coarse label, then the fine one)."""
    layout = LAYOUTS[dataset]
    path = folder / f"{stem}{layout.suffix}"
    size = path.stat().st_size
    if size == 0 or size % layout.record_bytes:
        raise UnavailableError(
            f"{path}: {size:,} bytes are no whole number of records of {layout.record_bytes:,} bytes",
            remedy="the file was cut; unpack the original archive again",
        )
    labels: list[int] = []
    with path.open("rb") as file:  # in blocks: mapped, every page of the file would count as memory of the process
        while block := file.read(_BLOCK * layout.record_bytes):
            labels.extend(np.frombuffer(block, np.uint8)[layout.label_bytes - 1 :: layout.record_bytes].tolist())
    return labels
