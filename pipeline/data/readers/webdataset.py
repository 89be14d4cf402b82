"""WebDataset shards: tar files `train-000000.tar`, … of images, each beside its label.

A sample is the members that share a name up to its first dot: `0001.jpg` with `0001.cls` (the number of the class) or
`0001.json` (with the class under `label`, as number or name). A shard is listed once, header by header, and its images
are read later from where they lie.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized
from exporters.images.splits import find_splits
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split, SplitName
from pipeline.data.readers.common import check_every_class, existing_root, named_splits, notes_on_test, readable_names
from pipeline.data.readers.shard_index import REMEDY, read_shard

SHARD = re.compile(r"^(?P<split>[^.].*?)(?:[-_.]?\d+)?\.tar$", re.IGNORECASE | re.DOTALL)
CLASSES = "classes.txt"


@dataclass
class _Samples:
    """What the shards of one split hold; labels are still as they were written."""

    split: Split = field(default_factory=lambda: Split([], []))
    labels: list[int | str] = field(default_factory=list)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the shards of each split; the validation split is the test split where there is no other.

    Class names stand in `classes.txt`, one in a line, in the order of their numbers; without it the names are those of
    the labels, or the numbers. Links, devices and other members that are no plain files are left out and counted, as
    are files that are neither image nor label. `settings` is of no effect: the splits are given.

    Raises:
        UnavailableError: no such shards, a damaged one, an image without a label, a label that is no class, a class
            without an image; names the shard and the sample.
    """
    root = existing_root(root, "webdataset", REMEDY)
    ignored: Counter[str] = Counter()
    found_shards = _shards(root)
    samples = {name: _read_shards(shards, ignored) for name, shards in found_shards.items()}
    names = _class_names(root, samples)
    numbers = {normalized(name): number for number, name in enumerate(names)}
    given = (root / CLASSES).is_file()
    for found in samples.values():
        for position, label in enumerate(found.labels):
            number = label if given and isinstance(label, int) else numbers.get(normalized(str(label)), -1)
            if not 0 <= number < len(names):
                member = found.split.paths[position].rpartition("@")[0]
                raise UnavailableError(
                    f"{root / CLASSES}: has {len(names)} classes, and {member} is labelled {label!r}",
                    remedy="add the class, or correct the label",
                )
            found.split.labels.append(number)
    splits = {name: found.split for name, found in samples.items()}
    check_every_class(root, names, splits)
    first = SHARD.match(found_shards["test"][0].name)
    notes = notes_on_test({"test": first["split"]}) if first is not None else []
    return Listing(root, readable_names(names, root), splits, dict(ignored), store="shards", notes=notes)


def _shards(root: Path) -> dict[SplitName, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(root.iterdir()):
        match = SHARD.match(path.name)
        if match is not None and path.is_file():
            found.setdefault(match["split"], []).append(path)
    compressed = sorted(path.name for path in root.glob("*.tar.*")) + sorted(path.name for path in root.glob("*.tgz"))
    named = find_splits(found, root, mark="")
    if not named and compressed:
        raise UnavailableError(
            f"{root / compressed[0]}: a compressed shard cannot be read by place",
            remedy="unpack the compression: gunzip, unxz or zstd -d",
        )
    if not named:
        raise UnavailableError(f"data.root: {root} has no shards of a train split", remedy=REMEDY)
    return {split: found[name] for split, name in named_splits(found, root, REMEDY).items()}


def _read_shards(shards: list[Path], ignored: Counter[str]) -> _Samples:
    samples = _Samples()
    for path in shards:
        shard = read_shard(path)
        samples.split.paths.extend(shard.keys)
        samples.labels.extend(shard.values[position] for position in shard.labels.tolist())
        ignored.update(shard.ignored)
    return samples


def _class_names(root: Path, samples: dict[SplitName, _Samples]) -> list[str]:
    path = root / CLASSES
    if path.is_file():
        try:
            return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"{path}: cannot be read: {error}") from error
    found = {label for split in samples.values() for label in split.labels}
    kinds = {type(label) for label in found}
    if len(kinds) > 1:
        raise UnavailableError(f"{root}: some labels are numbers and some are names", remedy=f"add {CLASSES}")
    ordered = sorted(found)  # type: ignore[type-var]
    return list({normalized(str(label)): str(label) for label in reversed(ordered)}.values())[::-1]
