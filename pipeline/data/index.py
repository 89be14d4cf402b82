"""The index of a data set: which files are in which split, what they hold, and one fingerprint of it all.

The arrays are compact (about 100 bytes an image with its path), because a large data set has over a million. A saved
index is mapped into memory rather than read, and another process maps it again: no worker has a copy of its own.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.files import atomic_path, read_json, write_json
from pipeline.data.copies import number_of_duplicates
from pipeline.data.listing import SPLITS, SplitName
from pipeline.data.mapped import map_npz
from pipeline.data.path_table import PathTable, printable
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
            arrays.forget_pages()  # all were read for the fingerprint; a stage needs those of its images
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
