"""WebDataset shards: tar files `train-000000.tar`, … of images, each beside its label.

A sample is the members that share a name up to its first dot: `0001.jpg` with `0001.cls` (the number of the class) or
`0001.json` (with the class under `label`, as number or name). The shards are listed once, header by header; images are
read later from where they lie.
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from exporters.errors import UnavailableError
from pipeline.data.listing import IMAGE_SUFFIXES, Listing, Progress, ReadSettings, Split, SplitName
from pipeline.data.readers.common import check_every_class, existing_root, held_out_names, readable_names
from pipeline.data.stores.shards import shard_key

SHARD = re.compile(r"^(?P<split>[a-z]+)(?:[-_]\d+)?\.tar$")
CLASSES = "classes.txt"
LARGEST_LABEL = 2**20
REMEDY = (
    "data.root must hold shards train-000000.tar, … and test-000000.tar, … (or val-…), uncompressed, with images and "
    'their labels: KEY.jpg beside KEY.cls (a number) or KEY.json ({"label": …})'
)


@dataclass
class _Samples:
    """What the shards of one split hold; labels are still as they were written."""

    split: Split = field(default_factory=lambda: Split([], []))
    labels: list[int | str] = field(default_factory=list)
    where: str = ""


def read(root: Path | None, settings: ReadSettings, progress: Progress | None = None) -> Listing:
    """List the shards of each split; `val` is the test split where there is no `test`, else the validation split.

    Class names stand in `classes.txt`, one in a line, in the order of their numbers; without it the names are those of
    the labels, or the numbers. Links, devices and other members that are no plain files are left out and counted, as
    are files that are neither image nor label. `settings` is of no effect: the splits are given.

    Raises:
        UnavailableError: no such shards, a damaged one, an image without a label, a label that is no class, a class
            without an image; names the shard and the sample.
    """
    root = existing_root(root, "webdataset", REMEDY)
    ignored: Counter[str] = Counter()
    samples = {name: _read_shards(shards, ignored) for name, shards in _shards(root).items()}
    names = _class_names(root, samples)
    numbers = {name: number for number, name in enumerate(names)}
    given = (root / CLASSES).is_file()
    for found in samples.values():
        for label in found.labels:
            number = label if given and isinstance(label, int) else numbers.get(str(label), -1)
            if not 0 <= number < len(names):
                raise UnavailableError(
                    f"{root / CLASSES}: has {len(names)} classes, and a sample is labelled {label!r} ({found.where})",
                    remedy="add the class, or correct the label",
                )
            found.split.labels.append(number)
    splits = {name: found.split for name, found in samples.items()}
    check_every_class(root, names, splits)
    return Listing(root, readable_names(names, root), splits, dict(ignored), store="shards")


def _shards(root: Path) -> dict[SplitName, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(root.iterdir()):
        match = SHARD.match(path.name)
        if match is not None and path.is_file():
            found.setdefault(match["split"], []).append(path)
    compressed = sorted(path.name for path in root.glob("*.tar.*")) + sorted(path.name for path in root.glob("*.tgz"))
    if "train" not in found and compressed:
        raise UnavailableError(
            f"{root / compressed[0]}: a compressed shard cannot be read by place",
            remedy="unpack the compression: gunzip, unxz or zstd -d",
        )
    if "train" not in found:
        raise UnavailableError(f"data.root: {root} has no shards of a train split", remedy=REMEDY)
    return {split: found[name] for split, name in held_out_names(found, root, REMEDY).items()}


def _read_shards(shards: list[Path], ignored: Counter[str]) -> _Samples:
    samples = _Samples()
    for path in shards:
        try:
            for image, label in _pairs(path, ignored):
                samples.split.paths.append(image)
                samples.labels.append(label)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UnavailableError(
                f"{path}: the shard cannot be read: {error}", remedy="make or fetch the shard again"
            ) from error
        samples.where = f"in {path.name} or before"
    return samples


def _pairs(path: Path, ignored: Counter[str]) -> Iterator[tuple[str, int | str]]:
    """The images of a shard with their labels; a sample's members stand together."""
    open_key, image, label = "", "", None
    seen: set[str] = set()

    def finished() -> tuple[str, int | str] | None:
        if image and label is None:
            raise UnavailableError(f"{path}: sample '{open_key}' has an image and no label", remedy=REMEDY)
        if label is not None and not image:
            raise UnavailableError(f"{path}: sample '{open_key}' has a label and no image", remedy=REMEDY)
        return None if label is None else (image, label)

    with tarfile.open(path, "r:") as shard:
        while (member := shard.next()) is not None:
            shard.members = []  # type: ignore[attr-defined]  # the library would keep every header
            name = PurePosixPath(member.name)
            stem, _, suffix = name.name.partition(".")
            suffix = f".{suffix.lower()}"
            if member.isdir() or stem.startswith("._"):
                continue
            if not member.isreg() or member.issparse():
                ignored["no plain file"] += 1
                continue
            key = str(name.with_name(stem)) if stem else ""
            if suffix not in IMAGE_SUFFIXES and suffix not in (".cls", ".json"):
                ignored[suffix if suffix != "." else "no suffix"] += 1
                continue
            if key != open_key:
                if (sample := finished()) is not None:
                    yield sample
                if key in seen:
                    raise UnavailableError(
                        f"{path}: sample '{key}' stands there twice, or its members are apart", remedy=REMEDY
                    )
                seen.add(key)
                open_key, image, label = key, "", None
            if suffix in IMAGE_SUFFIXES:
                if image:
                    raise UnavailableError(f"{path}: sample '{key}' has two images", remedy=REMEDY)
                image = shard_key(path.name, member.name, member.offset_data, member.size)
            else:
                found = _label(path, shard, member, suffix)
                if label is not None and found is not None and label != found:
                    raise UnavailableError(f"{path}: sample '{key}' is labelled {label!r} and {found!r}", remedy=REMEDY)
                label = found if found is not None else label
        # The library takes a damaged header for the end; a whole shard ends with blocks of zeros.
        with path.open("rb") as stream:
            stream.seek(shard.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"damaged or cut at byte {shard.offset:,}")
    if (sample := finished()) is not None:
        yield sample


def _label(path: Path, shard: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> int | str | None:
    """The class that a `.cls` or `.json` member gives; None where the latter says nothing of it."""
    where = f"{path}: {member.name}"
    stream = shard.extractfile(member)
    if member.size > LARGEST_LABEL or stream is None:
        raise UnavailableError(f"{where}: {member.size:,} bytes are too many for a label", remedy=REMEDY)
    try:
        text = stream.read().decode("utf-8").strip()
        if suffix == ".cls":
            value: object = int(text)
        else:
            content = json.loads(text)
            value = content.get("label") if isinstance(content, dict) else None
            if value is None:
                return None
    except (ValueError, RecursionError) as error:
        raise UnavailableError(f"{where}: is no label: {error}", remedy=REMEDY) from error
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 0):
        raise UnavailableError(f"{where}: expected a class number or name, found {value!r}", remedy=REMEDY)
    return value


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
    return [str(label) for label in sorted(found)]  # type: ignore[type-var]
