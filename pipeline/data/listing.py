"""Listing of a data set: its files, labels and splits as a reader found them, before any file is opened."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.names import similar_names
from exporters.images import splits
from pipeline.data.path_table import PathList
from pipeline.data.stores.registry import open_store

ProgressCallback = Callable[[int, int], None]
"""Called with the number of files done and of all."""

SplitName = splits.SplitName
SPLITS = splits.SPLITS


@dataclass(frozen=True, init=False)
class Split:
    """The images of one split. A reader may add to both as to lists.

    Attributes:
        paths: the images' keys in the listing's store; for files, paths relative to its root with forward slashes.
        labels: positions in the listing's `classes`, one for each path.
    """

    paths: PathList
    labels: list[int]

    def __init__(self, paths: Iterable[str], labels: list[int]) -> None:
        # The paths are packed: a million text objects would take as much memory as all the rest.
        object.__setattr__(self, "paths", paths if isinstance(paths, PathList) else PathList(paths))
        object.__setattr__(self, "labels", labels)
        if len(self.paths) != len(self.labels):
            raise ValueError(f"{len(self.paths)} paths but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, mask: np.ndarray) -> "Split":
        """The images where a bool `[N]` mask is true, in their order."""
        chosen = np.flatnonzero(mask)
        return Split((self.paths[i] for i in map(int, chosen)), [self.labels[i] for i in map(int, chosen)])


@dataclass(frozen=True)
class Listing:
    """A data set as its reader found it.

    Attributes:
        root: the folder that all paths are relative to, and that the store opens.
        classes: names that a person can read; a label is a position in this list.
        splits: `train` and `test` always, `validation` only where the data set brings its own.
        ignored: number of files left out because they are not images, by suffix; of images without a use, by kind.
        official: number of images that the data set has as it was published, by split, where that is known.
        store: where the images lie (`pipeline.data.stores.registry`); `files`: each path is a file.
        sampled_test: whether the reader sampled the test split itself, from names alone; copies of an image are then
            moved to one side once files are hashed.
        examples: kind of `ignored` → path of the first, where that is known.
        notes: lines to show before the images are used.
    """

    root: Path
    classes: list[str]
    splits: dict[SplitName, Split]
    ignored: dict[str, int] = field(default_factory=dict)
    official: dict[SplitName, int] = field(default_factory=dict)
    store: str = "files"
    sampled_test: bool = False
    examples: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def doubts(self) -> list[str]:
        """What may be wrong with the classes, one line each: names that differ in case or blanks alone."""
        return [
            f"the classes {' and '.join(map(repr, names))} differ in case or blanks alone; if they are one class, give"
            " them the same name"
            for names in similar_names(self.classes)
        ]

    def require_every_class(self, name: SplitName, labels: np.ndarray, why: str) -> None:
        """Check that a split has an image of each class that it was listed with.

        Args:
            name: of the split.
            labels: int64 `[N]`, of the images that are left.
            why: since when some are missing, for the message.

        Raises:
            UnavailableError: a class or the whole split has no image left; names it.
        """
        left = set(np.unique(labels).tolist())
        for label in sorted(set(self.splits[name].labels) - left):
            raise UnavailableError(
                f"class '{self.classes[label]}' has no image left in the {name} split {why}",
                remedy="repair or replace its images, or remove the class from the data set",
            )
        if not left:
            raise UnavailableError(f"the {name} split of {self.root} has no images")

    def unofficial(self) -> dict[SplitName, tuple[int, int]]:
        """The splits with another number of images than was published, such as those of an archive half unpacked.

        Returns:
            Split → number of images here, and as published.
        """
        found = {name: len(self.splits[name]) if name in self.splits else 0 for name in self.official}
        return {name: (found[name], count) for name, count in self.official.items() if found[name] != count}


class ReadSettings(Protocol):
    """What a reader needs of the recipe's `data` section."""

    @property
    def test(self) -> float:
        """Fraction split off for testing where the data set has no test split of its own."""

    @property
    def split_seed(self) -> int:
        """Seed of the splits, apart from the recipe's own seed."""

    @property
    def labels(self) -> str | None:
        """A table of the images and their classes, where they do not lie in class folders."""


class Reader(Protocol):
    """The function that a data set registers."""

    def __call__(self, root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
        """List the data set below `root`; `progress` is called where files are made or fetched first."""


def listing_digest(listing: Listing) -> str:
    """Hex SHA-256 over the store, classes, splits, labels and each image's path and mark: a file's size and time.

    Reads no image, so that an unchanged data set is recognised in a moment.

    Raises:
        OSError: a listed file is not there any more.
    """
    digest = hashlib.sha256(f"{listing.store}\n{listing.classes!r}".encode())
    store = open_store(listing.store, listing.root)
    for name in SPLITS:
        if name not in listing.splits:
            continue
        split = listing.splits[name]
        digest.update(f"\n{name} {len(split)}\n".encode())
        for path, label in zip(split.paths, split.labels, strict=True):
            digest.update(f"{path!r} {label} {store.mark(path)}\n".encode())
    return digest.hexdigest()
