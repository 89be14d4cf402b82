"""Building the index of a data set: images are hashed and decoded, leaks left out, splits made."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.images.preprocessing import Preprocessing
from pipeline.data.checking import available_processors, check_files
from pipeline.data.final_splits import (
    choose_training_images,
    leave_out_leaks,
    reunite_sampled_copies,
    split_off_validation,
)
from pipeline.data.index import DataIndex, IndexedSplit, SkippedFile
from pipeline.data.listing import SPLITS, Listing, ProgressCallback, SplitName
from pipeline.data.registry import load_reader
from pipeline.data.settings import DataSettings
from pipeline.data.stores.registry import open_store


def read_listing(settings: DataSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the data set that a recipe names; `birds_demo` is rendered first where it is not there yet.

    Args:
        settings: the recipe's `data` section.
        progress: called while files are made or fetched, if any are.

    Raises:
        UnavailableError: the data set is not there, or not as its layout says.
    """
    root = None if settings.root is None else Path(settings.root)
    return load_reader(settings.dataset)(root, settings, progress)


def build_index(
    settings: DataSettings,
    *,
    listing: Listing | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> DataIndex:
    """Hash and decode every image of a data set, and split validation from training where it brings none.

    Images that cannot be used are left out before the split, so that every class keeps images on both sides.

    Args:
        settings: the recipe's `data` section.
        listing: what `read_listing(settings)` gave, where that was called already.
        workers: threads; default: one for each processor.
        progress: called as images are checked.

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
            remedy="Repair or remove the file, or leave unreadable images out: --set data.on_error=skip",
        )
    for name, indexed in splits.items():
        listing.require_every_class(name, indexed.labels, "once unreadable ones are skipped")
    reunite_sampled_copies(listing, splits)
    dropped = leave_out_leaks(listing, splits, settings.on_leak)
    split_off_validation(settings, listing, splits)
    choose_training_images(settings, listing, splits)
    return DataIndex(listing.root, listing.classes, splits, skipped, listing.ignored, listing.store, dropped=dropped)
