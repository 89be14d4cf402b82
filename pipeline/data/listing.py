"""What a data set's reader gives: the files, their labels and splits, before any file has been opened."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

Progress = Callable[[int, int], None]
"""Called with the number of files done and of all."""

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class Split:
    """The files of one split.

    Attributes:
        paths: relative to the listing's root, with forward slashes.
        labels: positions in the listing's `classes`, one for each path.
    """

    paths: list[str]
    labels: list[int]

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.labels):
            raise ValueError(f"{len(self.paths)} paths but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, mask: np.ndarray) -> "Split":
        """The files where a bool `[N]` mask is true, in their order."""
        chosen = np.flatnonzero(mask).tolist()
        return Split([self.paths[i] for i in chosen], [self.labels[i] for i in chosen])


@dataclass(frozen=True)
class Listing:
    """A data set as its reader found it.

    Attributes:
        root: the folder that all paths are relative to.
        classes: names that a person can read; a label is a position in this list.
        splits: `train` and `test` always, `validation` only where the data set brings its own.
        ignored: number of files left out because they are not images, by suffix.
        drawn_test: whether the reader drew the test split itself, from names alone; copies that this tore apart are put
            together again once files are hashed.
    """

    root: Path
    classes: list[str]
    splits: dict[SplitName, Split]
    ignored: dict[str, int] = field(default_factory=dict)
    drawn_test: bool = False


class ReadSettings(Protocol):
    """What a reader needs of the recipe's `data` section."""

    @property
    def test(self) -> float:
        """Fraction split off for testing where the data set has no test split of its own."""

    @property
    def split_seed(self) -> int:
        """Seed of the splits, apart from the recipe's own seed."""


class Reader(Protocol):
    """The function that a data set registers."""

    def __call__(self, root: Path | None, settings: ReadSettings, progress: Progress | None = None) -> Listing:
        """List the data set below `root`; `progress` is told where files are made or fetched first."""


def listing_digest(listing: Listing) -> str:
    """Hex SHA-256 over classes, splits, labels and each file's path, size and modification time.

    Opens no file, so that an unchanged data set is recognised in a moment.

    Raises:
        OSError: a listed file is not there any more.
    """
    digest = hashlib.sha256(repr(listing.classes).encode())
    for name in SPLITS:
        if name not in listing.splits:
            continue
        split = listing.splits[name]
        digest.update(f"\n{name} {len(split)}\n".encode())
        for path, label in zip(split.paths, split.labels, strict=True):
            status = (listing.root / path).stat()
            digest.update(f"{path!r} {label} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
