"""A data set from nothing to something that its reader reads: fetched, unpacked and counted."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporters.core.disk import free_bytes
from exporters.core.errors import UnavailableError, UsageError
from exporters.core.locks import held
from pipeline.data.listing import SPLITS, Listing, SplitName
from pipeline.data.prepare.download import SPARE, download
from pipeline.data.prepare.reporting import Reporter
from pipeline.data.prepare.sources import SOURCES, DataSet, Source
from pipeline.data.prepare.torchvision_sets import fetch
from pipeline.data.prepare.unpack import unpack, unpacked
from pipeline.data.registry import load_reader

WORK = ".prepare"
"""Below the root: what is unfinished, and the records of what is finished."""


@dataclass(frozen=True)
class _ReadSettings:
    """What readers ask for; data sets that are fetched bring their own test split."""

    test: float = 0.2
    split_seed: int = 0
    labels: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A data set that is there.

    Attributes:
        listing: as its reader found it.
        root: what `data.root` must be; None where the set has a place of its own.
        fetched: whether anything was done.
    """

    listing: Listing
    root: Path | None
    fetched: bool


def prepare(name: str, root: Path | None, reporter: Reporter, *, keep_archives: bool = True) -> Prepared:
    """Fetch a data set into a folder, or find that it is there.

    Interrupted at any point, the same call goes on: archives grow as `.part` files, and what is unpacked takes its name
    only once it is whole.

    Args:
        name: one of `SOURCES`, `birds_demo`, or `torchvision:<Class>`.
        root: the folder; only `birds_demo` does without.
        reporter: shows lines and progress.
        keep_archives: whether the archives stay once everything is unpacked and counted.

    Raises:
        UsageError: no such name, or no root.
        UnavailableError: a file cannot be had or is not what it should be, the disk is too small, or what is there are
            not as many images as the data set has.
    """
    if name == "birds_demo":
        return _render(root, reporter)
    if root is None:
        raise UsageError(f"data set '{name}' needs a folder", remedy="Give one: --root DIR")
    root = root.expanduser().absolute()
    if name.startswith("torchvision:"):
        return _by_torchvision(name, root, reporter)
    if name not in SOURCES:
        names = [*SOURCES, "birds_demo", "torchvision:<Class>"]
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise UsageError(
            f"data prepare: no data set '{name}' can be fetched{hint}",
            remedy=f"These can: {', '.join(names)}. Class folders of your own need no preparing.",
        )
    data_set = SOURCES[name]
    listing, why_not = _already_there(name, root, data_set)
    if listing is not None:
        return Prepared(listing, root, fetched=False)
    if data_set.by_hand is not None:
        raise UnavailableError(
            f"{name} cannot be fetched without an account ({data_set.page}); {why_not}",
            remedy=data_set.by_hand.format(root=str(root)),
        )
    _fetch(data_set, root, reporter)
    listing = load_reader(name)(root, _ReadSettings())
    _check_counts(name, root, listing, data_set)
    if not keep_archives:
        _remove_archives(data_set, root, reporter)
    return Prepared(listing, root, fetched=True)


def _render(root: Path | None, reporter: Reporter) -> Prepared:
    rendered = 0
    with reporter.track("drawing birds_demo", None) as steps:

        def progress(done: int, _total: int) -> None:
            nonlocal rendered
            rendered = done
            steps.advance()

        listing = load_reader("birds_demo")(root, _ReadSettings(), progress)
    return Prepared(listing, None if root is None else listing.root, fetched=rendered > 0)


def _by_torchvision(name: str, root: Path, reporter: Reporter) -> Prepared:
    """What is below the root must be torchvision's alone, so that no record is kept there."""
    with held(root.with_name(f".{root.name}.lock"), partial(_refusal, root)):
        before = sorted(root.rglob("*")) if root.is_dir() else []
        fetch(name.partition(":")[2], root, reporter)
        return Prepared(load_reader(name)(root, _ReadSettings()), root, fetched=sorted(root.rglob("*")) != before)


def _already_there(name: str, root: Path, data_set: DataSet) -> tuple[Listing | None, str]:
    """The listing where everything is there, else what speaks against it."""
    if not root.is_dir() or not any(path.name != WORK for path in root.iterdir()):
        return None, f"{root} holds nothing yet"
    try:
        listing = load_reader(name)(root, _ReadSettings())
    except UnavailableError as error:
        return None, error.message
    if _counts(listing) != dict(data_set.images) and not (root / WORK).exists():
        _check_counts(name, root, listing, data_set)  # a part of the data set, made by somebody: left alone
    complete = _counts(listing) == dict(data_set.images) and len(listing.classes) == data_set.classes
    return (listing if complete else None), f"{root} is not complete"


def _fetch(data_set: DataSet, root: Path, reporter: Reporter) -> None:
    with _only_one(root):
        waiting = [source for source in data_set.sources if not _finished(source, root)]
        _require_space(waiting, root)
        for source in waiting:
            folder, file = root / source.folder, root / source.folder / source.name
            if not file.exists():
                reporter.say(f"{source.url}  ({source.megabytes:,} MB)")
            sha256 = download(source.url, file, limit=2_000_000 * source.megabytes, md5=source.md5, reporter=reporter)
            if source.md5 is None:
                reporter.say(f"{file.name}: no checksum is known for it; sha256 {sha256}")
            if source.is_archive:
                unpack(
                    file,
                    folder,
                    root / WORK,
                    sha256=sha256,
                    limit=2_000_000 * source.unpacked,
                    reporter=reporter,
                )


def _finished(source: Source, root: Path) -> bool:
    return source.is_archive and unpacked(source.name, root / source.folder, root / WORK)


def _require_space(sources: list[Source], root: Path) -> None:
    missing = sum(
        1_000_000 * (source.unpacked + (0 if (root / source.folder / source.name).exists() else source.megabytes))
        for source in sources
    )
    begun = sum(
        part.stat().st_size
        for part in (root / source.folder / f"{source.name}.part" for source in sources)
        if part.exists()
    )
    free = free_bytes(root)
    if missing - begun + SPARE > free:
        raise UnavailableError(
            f"{root}: {(missing - begun + SPARE) / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free",
            remedy="Give a folder on a larger disk by --root.",
        )


def _counts(listing: Listing) -> dict[SplitName, int]:
    return {name: len(split) for name, split in listing.splits.items()}


def _check_counts(name: str, root: Path, listing: Listing, data_set: DataSet) -> None:
    found, expected = _counts(listing), dict(data_set.images)
    if found != expected or len(listing.classes) != data_set.classes:
        raise UnavailableError(
            f"{root}: {name} has {_counted(expected, data_set.classes)}; found {_counted(found, len(listing.classes))}",
            remedy="A part of a data set can be used as it is. For the whole, give another folder by --root, or remove "
            "what is there yourself: the same command unpacks it again.",
        )


def _counted(counts: Mapping[SplitName, int], classes: int) -> str:
    return f"{classes:,} classes, " + ", ".join(f"{name} {counts[name]:,}" for name in SPLITS if name in counts)


def _remove_archives(data_set: DataSet, root: Path, reporter: Reporter) -> None:
    for source in data_set.sources:
        file = root / source.folder / source.name
        if source.is_archive and file.exists():
            file.unlink()
            reporter.say(f"{file}: removed, as asked")


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Hold the folder against other processes that prepare a data set there.

    Raises:
        UnavailableError: one does, or the folder cannot be made.
    """
    with held(root / WORK / "lock", partial(_refusal, root)):
        yield


def _refusal(root: Path, process: str) -> UnavailableError:
    return UnavailableError(
        f"{root}: another process ({process}) prepares a data set there",
        remedy="Wait for it to end; the same command then finds what it fetched.",
    )
