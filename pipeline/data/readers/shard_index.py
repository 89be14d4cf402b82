"""The samples of a tar shard: which images it holds, where, and with which labels. Listed once, and kept.

Headers are read one by one, about 100 µs a sample, which is minutes for a million. So the list of a shard is kept in
the user's cache for as long as the shard's size and time stay; without a cache the shard is listed again.
"""

import contextlib
import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.files import atomic_path, file_state
from exporters.core.write_errors import WriteError
from exporters.images.suffixes import IMAGE_SUFFIXES
from pipeline.data.mapped import map_npz
from pipeline.data.path_table import PathList, PathTable
from pipeline.data.stores.shards import shard_key
from pipeline.data.user_cache import cache_folder

LARGEST_LABEL = 2**20
FORMAT = 1
REMEDY = (
    "data.root must hold shards train-000000.tar, … and test-000000.tar, … (or val-…), uncompressed, with images and "
    'their labels: KEY.jpg beside KEY.cls (a number) or KEY.json ({"label": …})'
)


@dataclass(frozen=True, eq=False)
class Shard:
    """What one shard holds.

    Attributes:
        keys: of the images, in a `ShardStore`.
        labels: int64 `[N]`, positions in `values`.
        values: the labels that there are, numbers or names, as they were written.
        ignored: members that are neither image nor label, by kind.
    """

    keys: PathTable
    labels: np.ndarray
    values: list[int | str]
    ignored: dict[str, int]


def read_shard(path: Path) -> Shard:
    """List a shard, or take the list that was kept.

    Raises:
        UnavailableError: the shard is damaged, or a sample in it is not whole; names shard and sample.
    """
    try:
        state: list[int | str] = [FORMAT, str(path), *file_state(path.stat())]
        cache = cache_folder()
        kept = None
        if cache is not None:
            kept = cache / "shards" / f"{hashlib.sha256(str(path).encode(errors='surrogateescape')).hexdigest()}.npz"
            # Whatever is wrong with what was kept, the shard itself is still there.
            with contextlib.suppress(Exception):
                return _load(kept, state)
        shard = _list(path)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UnavailableError(
            f"{path}: the shard cannot be read: {error}", remedy="make or fetch the shard again"
        ) from error
    if kept is not None:
        with contextlib.suppress(WriteError):  # no place to keep it
            _save(kept, state, shard)
    return shard


def _load(kept: Path, state: list[int | str]) -> Shard:
    arrays = map_npz(kept)
    described = json.loads(arrays["described"].tobytes())
    if described["state"] != state:
        raise ValueError("the shard has changed")
    keys = PathTable(arrays["text"], arrays["offsets"])
    return Shard(keys, arrays["labels"], described["values"], described["ignored"])


def _save(kept: Path, state: list[int | str], shard: Shard) -> None:
    described = json.dumps({"state": state, "values": shard.values, "ignored": shard.ignored}).encode()
    with atomic_path(kept) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            text=shard.keys.text,
            offsets=shard.keys.offsets,
            labels=shard.labels,
            described=np.frombuffer(described, dtype=np.uint8),
        )


def _list(path: Path) -> Shard:
    keys = PathList()
    labels: list[int] = []
    positions: dict[int | str, int] = {}
    ignored: Counter[str] = Counter()
    for key, label in _pairs(path, ignored):
        keys.append(key)
        labels.append(positions.setdefault(label, len(positions)))
    return Shard(keys.table(), np.asarray(labels, dtype=np.int64), list(positions), dict(ignored))


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
            if member.isdir() or name.name.startswith("."):
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
