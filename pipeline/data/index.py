"""The index of a data set: which files are in which split, what they hold, and one fingerprint of it all.

The arrays are compact (about 100 bytes an image with its path), because a large data set has over a million. A saved
index is mapped into memory rather than read, and another process maps it again: no worker has a copy of its own.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.files import atomic_path, read_json, write_json
from exporters.images.preprocessing import Preprocessing
from pipeline.data.checking import available_processors, check_files
from pipeline.data.leakage import content_groups, leaking_images, number_of_duplicates, torn_apart
from pipeline.data.listing import SPLITS, Listing, Progress, ReadSettings, SplitName
from pipeline.data.mapped import map_npz
from pipeline.data.path_table import PathTable, printable
from pipeline.data.registry import load_reader
from pipeline.data.splits import stratified_choice, stratified_mask
from pipeline.data.stores.registry import open_store

FORMAT = 2


@dataclass(frozen=True, eq=False)
class IndexedSplit:
    """The usable images of one split; a sample's index is its position here.

    Attributes:
        paths: `[N]`, keys of the store: for files, relative to the root.
        labels: int64 `[N]`, positions in `DataIndex.classes`.
        sha256: uint8 `[N, 32]`, of each image's bytes, as its store gives them.
        sizes: int32 `[N, 2]`, width and height as decoded and upright.
    """

    paths: PathTable
    labels: np.ndarray
    sha256: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, mask: np.ndarray) -> "IndexedSplit":
        """The images where a bool `[N]` mask is true, in their order."""
        return IndexedSplit(self.paths.select(mask), self.labels[mask], self.sha256[mask], self.sizes[mask])

    def joined(self, other: "IndexedSplit") -> "IndexedSplit":
        """These files, and then those of another split."""
        arrays = (
            np.concatenate(pair)
            for pair in ((self.labels, other.labels), (self.sha256, other.sha256), (self.sizes, other.sizes))
        )
        return IndexedSplit(PathTable.of([*self.paths, *other.paths]), *arrays)


@dataclass(frozen=True)
class SkippedFile:
    """A file that was left out because it cannot be used."""

    split: SplitName
    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class DataIndex:
    """A data set that has been read and checked.

    Attributes:
        root: where the images are; no part of the fingerprint, so that a data set may move.
        classes: names that a person can read, in the order of the labels.
        splits: `train`, `validation` and `test`.
        skipped: the files left out under `data.on_error: skip`, by the split they were listed in.
        ignored: number of files that are no images, by suffix; of images without a use, by kind.
        store: the name of the store that gives the images (`pipeline.data.stores.registry`).
        folder: where the index was loaded from; None for one that was just built.
        dropped: the images left out under `data.on_leak: drop`, since they stand in another split too.
    """

    root: Path
    classes: list[str]
    splits: dict[SplitName, IndexedSplit]
    skipped: list[SkippedFile] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    store: str = "files"
    folder: Path | None = None
    dropped: list[SkippedFile] = field(default_factory=list)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Where it was loaded from a folder, a copy in another process maps the same file."""
        if self.folder is None:
            return super().__reduce_ex__(protocol)
        return _load_again, (self.folder, self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 over the class names and, for each split, its paths, labels and the images' hashes, in order."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for name in SPLITS:
            split = self.splits[name]
            digest.update(f"\n{name} {len(split)}\n".encode())
            for array in (split.paths.text, split.paths.offsets, split.labels, split.sha256):
                digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1).data)
        return digest.hexdigest()

    def summary(self) -> dict[str, Any]:
        """Counts as JSON values: classes, images of each split, smallest and largest class, skipped, ignored."""
        splits = {}
        for name in SPLITS:
            counts = np.bincount(self.splits[name].labels, minlength=len(self.classes))
            splits[name] = {
                "images": len(self.splits[name]),
                "smallest_class": int(counts.min()),
                "largest_class": int(counts.max()),
                "duplicates": number_of_duplicates(self.splits[name].sha256),
            }
        return {
            "classes": len(self.classes),
            "splits": splits,
            "skipped": len(self.skipped),
            "dropped": len(self.dropped),
            "ignored": self.ignored,
            "fingerprint": self.fingerprint,
        }

    def save(self, folder: Path) -> None:
        """Write `index.npz`, `index.json` and `location.json` into a folder, each atomically.

        The first two depend on the data alone; `location.json` holds the root of this machine.
        """
        arrays = {}
        for name in SPLITS:
            split = self.splits[name]
            arrays[f"{name}.paths"], arrays[f"{name}.offsets"] = split.paths.text, split.paths.offsets
            arrays[f"{name}.labels"], arrays[f"{name}.sha256"] = split.labels, split.sha256
            arrays[f"{name}.sizes"] = split.sizes
        with atomic_path(folder / "index.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        skipped, dropped = (
            [{"split": file.split, "path": printable(file.path), "reason": printable(file.reason)} for file in files]
            for files in (self.skipped, self.dropped)
        )
        left_out = {"skipped": skipped, "dropped": dropped}
        described = {
            **self.summary(),
            "format": FORMAT,
            "store": self.store,
            "classes": self.classes,
            **left_out,
        }
        write_json(folder / "index.json", described)
        write_json(folder / "location.json", {"root": str(self.root)})

    @classmethod
    def load(cls, folder: Path) -> "DataIndex":
        """Read what `save` wrote, and check it against its fingerprint.

        Raises:
            UnavailableError: a file is missing, damaged, or of another version; names it.
        """
        try:
            described = read_json(folder / "index.json")
            root = Path(read_json(folder / "location.json")["root"])
            if described["format"] != FORMAT:
                raise ValueError(f"format {described['format']}, this version reads {FORMAT}")
            arrays = map_npz(folder / "index.npz")
            splits = {
                name: IndexedSplit(
                    PathTable(arrays[f"{name}.paths"], arrays[f"{name}.offsets"]),
                    *(arrays[f"{name}.{part}"] for part in ("labels", "sha256", "sizes")),
                )
                for name in SPLITS
            }
            skipped, dropped = ([SkippedFile(**file) for file in described[key]] for key in ("skipped", "dropped"))
            open_store(described["store"], root)
            index = cls(
                root,
                described["classes"],
                splits,
                skipped,
                described["ignored"],
                described["store"],
                folder.absolute(),
                dropped,
            )
            if index.fingerprint != described["fingerprint"]:
                raise ValueError("the arrays do not give the fingerprint of index.json")
        except Exception as error:  # a damaged archive raises whatever zipfile, json and numpy meet
            reason = f"{type(error).__name__}: {error}"
            raise UnavailableError(
                f"{folder}: the data index cannot be read: {reason}", remedy="run again with --force data"
            ) from error
        return index


def _load_again(folder: Path, fingerprint: str) -> DataIndex:
    index = DataIndex.load(folder)
    if index.fingerprint != fingerprint:
        raise UnavailableError(f"{folder}: the data index was replaced meanwhile", remedy="run the command again")
    return index


class IndexSettings(ReadSettings, Protocol):
    """What an index needs of the recipe's `data` section."""

    @property
    def dataset(self) -> str:
        """A name of `DATASETS`."""

    @property
    def root(self) -> str | None:
        """The data set's folder."""

    @property
    def image_size(self) -> int:
        """Side of the student's input."""

    @property
    def resize_to(self) -> int:
        """Shorter side before the crop."""

    @property
    def validation(self) -> float:
        """Fraction split from training."""

    @property
    def train_images(self) -> int | None:
        """How many training images; None for all."""

    @property
    def on_error(self) -> Literal["fail", "skip"]:
        """What an unreadable image does."""

    @property
    def on_leak(self) -> Literal["fail", "drop"]:
        """What an image does that stands in two splits."""


def read_listing(settings: IndexSettings, progress: Progress | None = None) -> Listing:
    """List the data set that a recipe names; `birds_demo` is rendered first where it is not there yet.

    Args:
        settings: the recipe's `data` section.
        progress: told while files are made or fetched, if any are.

    Raises:
        UnavailableError: the data set is not there, or not as its layout says.
    """
    root = None if settings.root is None else Path(settings.root)
    return load_reader(settings.dataset)(root, settings, progress)


def build_index(
    settings: IndexSettings,
    *,
    listing: Listing | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> DataIndex:
    """Hash and decode every image of a data set, and split validation from training where it brings none.

    Images that cannot be used are left out before the split, so that every class keeps images on both sides.

    Args:
        settings: the recipe's `data` section.
        listing: what `read_listing(settings)` gave, where that was called already.
        workers: threads; default: one for each processor.
        progress: told as images are checked.

    Raises:
        UnavailableError: an image cannot be used under `on_error: fail` (names the first and how many more), a class
            has too few images, or skipping left a split or a class without any.
    """
    listing = read_listing(settings) if listing is None else listing
    store = open_store(listing.store, listing.root)
    total = sum(len(split) for split in listing.splits.values())
    preprocessing = Preprocessing(settings.image_size, settings.resize_to, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    splits: dict[SplitName, IndexedSplit] = {}
    skipped: list[SkippedFile] = []
    done = 0
    with ThreadPoolExecutor(workers or available_processors()) as pool:
        for name in (name for name in SPLITS if name in listing.splits):
            split = listing.splits[name]
            kept = np.ones(len(split), dtype=bool)
            everything = IndexedSplit(
                split.paths.table(),
                np.asarray(split.labels, dtype=np.int64),
                np.zeros((len(split), 32), dtype=np.uint8),
                np.zeros((len(split), 2), dtype=np.int32),
            )
            for position, checked in enumerate(check_files(store, split.paths, preprocessing, pool)):
                if checked.reason is None:
                    everything.sha256[position] = np.frombuffer(checked.sha256, dtype=np.uint8)
                    everything.sizes[position] = checked.size
                else:
                    kept[position] = False
                    skipped.append(SkippedFile(name, split.paths[position], checked.reason))
                done += 1
                if progress is not None:
                    progress(done, total)
            splits[name] = everything if kept.all() else everything.select(kept)
            del everything  # what is divided below must be held nowhere else
    if skipped and settings.on_error == "fail":
        more = f" (and {len(skipped) - 1} more cannot be used)" if len(skipped) > 1 else ""
        raise UnavailableError(
            skipped[0].reason + more,
            remedy="repair or remove the file, or leave unreadable images out: --set data.on_error=skip",
        )
    for name, indexed in splits.items():
        _check_classes(listing, name, indexed.labels, "once unreadable ones are skipped")
    dropped = _part(listing, splits, settings.on_leak)
    if "validation" not in splits:
        taken = stratified_mask(
            splits["train"].labels,
            listing.classes,
            settings.validation,
            settings.split_seed,
            "validation split",
            content_groups(splits["train"].sha256),
        )
        splits["validation"] = splits["train"].select(taken)
        splits["train"] = _narrowed(splits.pop("train"), ~taken)
    if settings.train_images is not None:
        train = splits["train"]
        chosen = stratified_choice(
            train.labels, listing.classes, settings.train_images, settings.split_seed, "training images"
        )
        splits["train"] = train.select(chosen)
    return DataIndex(listing.root, listing.classes, splits, skipped, listing.ignored, listing.store, dropped=dropped)


def _narrowed(split: IndexedSplit, mask: np.ndarray) -> IndexedSplit:
    """`split.select(mask)`, array by array: no two whole splits are in memory where the caller holds none."""
    parts = dict(vars(split))
    del split
    for name in ("labels", "sha256", "sizes"):
        parts[name] = parts[name][mask]
    parts["paths"] = parts["paths"].select(mask)
    return IndexedSplit(**parts)


def _part(
    listing: Listing, splits: dict[SplitName, IndexedSplit], on_leak: Literal["fail", "drop"]
) -> list[SkippedFile]:
    """Let no image stand in two splits; what is left out for that."""
    if listing.drawn_test:
        train, test = splits["train"], splits["test"]
        if moves := torn_apart(train.sha256, test.sha256, test.labels):
            to_test, to_train = moves
            splits["train"] = train.select(~to_test).joined(test.select(to_train))
            splits["test"] = test.select(~to_train).joined(train.select(to_test))
            _check_classes(listing, "train", splits["train"].labels, "once copies of test images are test images")
    dropped: list[SkippedFile] = []
    leaking = leaking_images({name: (split.paths, split.sha256) for name, split in splits.items()}, on_leak)
    for name, reasons in leaking.items():
        dropped += [SkippedFile(name, splits[name].paths[at], why) for at, why in sorted(reasons.items())]
        kept = np.ones(len(splits[name]), dtype=bool)
        kept[list(reasons)] = False
        splits[name] = splits[name].select(kept)
        _check_classes(listing, name, splits[name].labels, "once those that stand in another split are left out")
    return dropped


def _check_classes(listing: Listing, name: SplitName, labels: np.ndarray, why: str) -> None:
    present = set(np.unique(labels).tolist())
    for label in sorted(set(listing.splits[name].labels) - present):
        raise UnavailableError(
            f"class '{listing.classes[label]}' has no image left in the {name} split {why}",
            remedy="repair or replace its images, or remove the class from the data set",
        )
    if not present:
        raise UnavailableError(f"the {name} split of {listing.root} has no images")
