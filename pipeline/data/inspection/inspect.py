"""A whole data set, looked at image by image: counts, sizes, formats, copies, and what is odd or broken."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.images.preprocessing import Preprocessing
from pipeline.data.checking import CHUNK, available_processors
from pipeline.data.copies import content_groups
from pipeline.data.index import IndexedSplit
from pipeline.data.indexing import read_listing
from pipeline.data.inspection.divide import divide
from pipeline.data.inspection.examine import KINDS, UNCOMMON, examine
from pipeline.data.inspection.found import EXAMPLES, Found
from pipeline.data.inspection.looks import Looks
from pipeline.data.inspection.near_duplicates import METHOD, NearDuplicates, near_duplicates
from pipeline.data.inspection.sizes import odd_sizes
from pipeline.data.leaks import Leak
from pipeline.data.listing import SPLITS, Listing, ProgressCallback, SplitName
from pipeline.data.path_table import printable
from pipeline.data.settings import DataSettings
from pipeline.data.stores.registry import open_store


@dataclass(frozen=True, eq=False)
class InspectedSplit:
    """The images of one split.

    Attributes:
        images: those that can be used, in the splits of the stage `data`.
        unreadable: int64 `[U]`, labels of those that cannot, in the split that they were listed in.
    """

    images: IndexedSplit
    unreadable: np.ndarray

    def __len__(self) -> int:
        return len(self.images) + len(self.unreadable)


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found.

    Attributes:
        listing: the data set as its reader gives it.
        splits: each image's label, hash and size. The splits are those of the stage `data`, as far as it would come.
        formats: number of good images by format; of those that are no files of their own, under "no file of its own".
        modes: number of good images by Pillow's mode.
        unreadable: images that cannot be used, with the reason.
        oddities: kind of `KINDS`, or of a size out of the ordinary → images.
        copies: within each split, images with a copy before them, each as `path = path of the first`.
        leaks: pair of splits → images of the first that stand in the second too.
        conflicts: contents that stand in more than one class.
        near: images that look like one of another split.
        unused: number of images that the splits leave out, by the setting that says so.
        refusal: why the stage `data` would stop, other than for leaks and unreadable images; None: it would not.
    """

    listing: Listing
    splits: dict[SplitName, InspectedSplit]
    formats: Counter[str]
    modes: Counter[str]
    unreadable: Found
    oddities: dict[str, Found]
    copies: dict[SplitName, Found]
    leaks: dict[tuple[SplitName, SplitName], Found]
    conflicts: Found
    near: list[NearDuplicates]
    unused: dict[str, int]
    refusal: str | None

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        sides = self.sides()
        return {
            "root": printable(str(self.listing.root)),
            "classes": self.listing.classes,
            "splits": {
                name: {
                    "images": len(split),
                    "unreadable": len(split.unreadable),
                    "classes": self.class_counts(name).tolist(),
                    "copies": _json(self.copies[name]),
                }
                for name, split in self.splits.items()
            },
            "shorter_side": _spread(sides.min(axis=1)) if len(sides) else None,
            "width": _spread(sides[:, 0]) if len(sides) else None,
            "height": _spread(sides[:, 1]) if len(sides) else None,
            "formats": dict(self.formats.most_common()),
            "modes": dict(self.modes.most_common()),
            "unreadable": _json(self.unreadable),
            "suspicious": {kind: _json(found) for kind, found in self.oddities.items() if found.count},
            "across_splits": {f"{one} in {two}": _json(found) for (one, two), found in self.leaks.items()},
            "in_several_classes": _json(self.conflicts),
            "near_duplicates": {
                "method": METHOD,
                "across": {
                    f"{found.split} and {found.other}": found.to_json(self.images(), self.listing.classes)
                    for found in self.near
                },
            },
            "ignored": self.listing.ignored,
            "unused": self.unused,
            "refusal": self.refusal,
            "notes": [*map(printable, self.listing.notes), *self.listing.doubts()],
        }

    def class_counts(self, name: SplitName) -> np.ndarray:
        """Images of each class in a split, int64 `[K]`."""
        split = self.splits[name]
        labels = np.concatenate([split.images.labels, split.unreadable])
        return np.bincount(labels, minlength=len(self.listing.classes))

    def images(self) -> dict[SplitName, IndexedSplit]:
        """The images of each split that can be used."""
        return {name: split.images for name, split in self.splits.items()}

    def sides(self) -> np.ndarray:
        """Width and height of every good image, int32 `[M, 2]`."""
        return np.concatenate([split.images.sizes for split in self.splits.values()])


def _json(found: Found) -> dict[str, Any]:
    return {"count": found.count, "first": found.examples}


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}


def inspect(
    settings: DataSettings,
    *,
    listing: Listing | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Inspection:
    """Look at every image of a data set.

    Args:
        settings: the recipe's `data` section.
        listing: what `read_listing(settings)` gave, where that was called already.
        workers: threads; default: one for each processor.
        progress: called as images are inspected.

    Raises:
        UnavailableError: the data set is not there, or not as its layout says. A broken image is none.
    """
    listing = read_listing(settings) if listing is None else listing
    store = open_store(listing.store, listing.root)
    preprocessing = Preprocessing(settings.image_size, settings.resize_to, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    total = sum(len(split) for split in listing.splits.values())
    usable: dict[SplitName, IndexedSplit] = {}
    unusable: dict[SplitName, np.ndarray] = {}
    formats: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    unreadable = Found()
    oddities = {kind: Found() for kind in KINDS}
    looks = Looks.empty(total)
    done = 0
    with ThreadPoolExecutor(workers or available_processors()) as pool:
        for name in (name for name in SPLITS if name in listing.splits):
            listed = listing.splits[name]
            count = len(listed)
            good = np.zeros(count, bool)
            split = IndexedSplit(
                listed.paths.table(),
                np.asarray(listed.labels, dtype=np.int64),
                np.zeros((count, 32), np.uint8),
                np.zeros((count, 2), np.int32),
            )
            for start in range(0, count, CHUNK):
                paths = listed.paths[start : start + CHUNK]
                work = pool.map(lambda path: examine(store, path, preprocessing), paths)
                for position, (path, facts) in enumerate(zip(paths, work, strict=True), start=start):
                    if facts.reason is None:
                        good[position] = True
                        split.sha256[position] = np.frombuffer(facts.sha256, dtype=np.uint8)
                        split.sizes[position] = facts.size
                        formats[facts.format or "no file of its own"] += 1
                        modes[facts.mode or "RGB"] += 1
                        if facts.look is not None:
                            looks.put(done, facts.sha256, facts.look)
                    else:
                        unreadable.add(path, f"{printable(path)}: {printable(facts.reason)}")
                    for kind in facts.oddities:
                        oddities[kind].add(path)
                    done += 1
                    if progress is not None:
                        progress(done, total)
            usable[name], unusable[name] = split.select(good), split.labels[~good]
    good_images = sum(map(len, usable.values()))
    for kind in UNCOMMON:
        if 2 * oddities[kind].count > good_images:
            oddities[kind] = Found()
    oddities |= odd_sizes(usable)
    conflicts = _conflicts(listing, usable)
    divided = divide(settings, listing, usable)
    splits = {
        name: InspectedSplit(divided.splits[name], unusable.get(name, np.zeros(0, np.int64)))
        for name in SPLITS
        if name in divided.splits
    }
    return Inspection(
        listing,
        splits,
        formats,
        modes,
        unreadable,
        oddities,
        {name: _copies(split.images) for name, split in splits.items()},
        {(leak.split, leak.other): _leak(leak, divided.before) for leak in divided.leaks},
        conflicts,
        near_duplicates({name: split.images for name, split in splits.items()}, looks),
        divided.unused,
        divided.refusal,
    )


def _copies(split: IndexedSplit) -> Found:
    groups = content_groups(split.sha256)
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    copied = np.flatnonzero(first[inverse] != np.arange(len(groups)))
    shown = [(i, int(first[inverse[i]])) for i in copied[:EXAMPLES].tolist()]
    words = [f"{printable(split.paths[a])} = {printable(split.paths[b])}" for a, b in shown]
    return Found(len(copied), words, [split.paths[a] for a, _b in shown])


def _leak(leak: Leak, splits: Mapping[SplitName, IndexedSplit]) -> Found:
    ours, theirs = splits[leak.split].paths, splits[leak.other].paths
    pairs = zip(leak.positions[:EXAMPLES].tolist(), leak.partners[:EXAMPLES].tolist(), strict=True)
    examples = [f"{printable(ours[here])} = {printable(theirs[there])}" for here, there in pairs]
    return Found(len(leak.positions), examples, [ours[here] for here in leak.positions[:EXAMPLES].tolist()])


def _conflicts(listing: Listing, splits: Mapping[SplitName, IndexedSplit]) -> Found:
    names = list(splits)
    owner = np.repeat(np.arange(len(names)), [len(split) for split in splits.values()])
    place = np.concatenate([np.arange(len(split)) for split in splits.values()])
    labels = np.concatenate([split.labels for split in splits.values()])
    groups = content_groups(*(split.sha256 for split in splits.values()))
    # A pair of group and class each once: a group that is left twice has two classes.
    _, first = np.unique(groups * len(listing.classes) + labels, return_index=True)
    numbers, counts = np.unique(groups[first], return_counts=True)
    several = numbers[counts > 1]

    def path(image: int) -> str:
        return splits[names[owner[image]]].paths[int(place[image])]

    members = [list(map(path, first[groups[first] == group].tolist())) for group in several[:EXAMPLES]]
    examples = [" = ".join(map(printable, keys)) for keys in members]
    return Found(len(several), examples, [keys[0] for keys in members])


def default_sheet(name: str) -> Path:
    """Default path of the contact sheet."""
    return Path("inspect") / f"{name.replace(':', '-').replace('/', '-')}.png"
