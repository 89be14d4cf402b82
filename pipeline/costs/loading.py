"""What the images themselves cost on this machine: a few of them checked, decoded, varied and cropped by the loader."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporters.images.preprocessing import Preprocessing
from pipeline.costs.seconds import Seconds
from pipeline.data.augmentation import Augmentation
from pipeline.data.checking import available_processors, check_files
from pipeline.data.index import DataIndex, IndexedSplit
from pipeline.data.loading import CACHE_BYTES, Loader
from pipeline.data.path_table import PathTable
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.networks import image_geometry

if TYPE_CHECKING:
    from pipeline.data.listing import Listing

SAMPLE, SAMPLE_OF_SMALL = 96, 512
"""Training images that are looked at, and of those that are trained on at fewer than 128 pixels."""


def sample_size(recipe: Recipe) -> int:
    """How many training images are looked at."""
    return SAMPLE if recipe.data.image_size >= 128 else SAMPLE_OF_SMALL


def timed(work: Callable[[], object]) -> Seconds:
    """What a piece of work takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def sample_listing(listing: "Listing", recipe: Recipe, images: int) -> tuple[DataIndex, Seconds]:
    """An index of a few training images, evenly spread, which stand for all splits; and what checking one costs.

    Raises:
        UnavailableError: none of them can be used.
    """
    from pipeline.data.stores.registry import open_store

    split, data = listing.splits["train"], recipe.data
    chosen = np.unique(np.linspace(0, len(split) - 1, min(images, len(split))).astype(np.int64))
    paths = [split.paths[int(position)] for position in chosen]
    store = open_store(listing.store, listing.root)
    preprocessing = Preprocessing(data.image_size, data.resize_to, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with ThreadPoolExecutor(available_processors()) as pool:
        found: list = []
        list(check_files(store, paths[:8], preprocessing, pool))  # threads start, decoders are loaded
        took = timed(lambda: found.extend(check_files(store, paths, preprocessing, pool)))
    good = [number for number, checked in enumerate(found) if checked.reason is None]
    if not good:
        from exporters.core.errors import UnavailableError

        raise UnavailableError(found[0].reason, remedy="`tmkd-pipeline data inspect` looks at every image")
    sampled = IndexedSplit(
        PathTable.of([paths[number] for number in good]),
        np.array([split.labels[int(chosen[number])] for number in good], dtype=np.int64),
        np.array([np.frombuffer(found[number].sha256, dtype=np.uint8) for number in good]),
        np.array([found[number].size for number in good], dtype=np.int32),
    )
    splits = dict.fromkeys(("train", "validation", "test"), sampled)
    return DataIndex(Path(listing.root), listing.classes, splits, store=listing.store), took * (1 / len(paths))  # type: ignore[arg-type]


def sample_index(index: DataIndex, images: int) -> DataIndex:
    """A few training images of an index, evenly spread, which stand for all splits."""
    train = index.splits["train"]
    mask = np.zeros(len(train), dtype=bool)
    mask[np.linspace(0, len(train) - 1, min(images, len(train))).astype(np.int64)] = True
    splits = dict.fromkeys(("train", "validation", "test"), train.select(mask))
    return DataIndex(index.root, index.classes, splits, store=index.store)  # type: ignore[arg-type]


def fits_in_memory(sampled: DataIndex, images: int) -> bool:
    """Whether so many images like these are kept decoded by the loader."""
    sizes = sampled.splits["train"].sizes.astype(np.int64)
    return bool(3 * sizes.prod(axis=1).mean() * images <= CACHE_BYTES)


def loading_prices(sampled: DataIndex, recipe: Recipe) -> dict[str, Seconds]:
    """The prices of `decode`, `augment` and `prepare`, each of one image, in this process."""
    geometry = image_geometry(recipe)
    augmentation = Augmentation(recipe.data.augment, geometry, recipe.seed)
    images, batch = len(sampled.splits["train"]), min(recipe.train.batch_size, len(sampled.splits["train"]))

    def drain(epoch: int) -> Callable[[], None]:
        def work() -> None:
            for _ in loader.training_batches(augmentation, batch, recipe.seed, epoch):
                pass

        return work

    def evaluate() -> None:
        for _ in loader.evaluation_batches("train", geometry, batch):
            pass

    with Loader(sampled, sampled.root, 0) as loader:
        evaluate()  # the files come into memory
        first = timed(drain(0))
        again = [timed(drain(epoch)) for epoch in (1, 2, 3)] if loader.cached else [first]
        prepare = timed(evaluate)
    with Loader(sampled, sampled.root, 0, cache_bytes=0) as loader:
        both = timed(drain(0))
    augment = min(again, key=lambda each: each.cpu)
    decode = Seconds(max(0.0, both.wall - augment.wall), max(0.0, both.cpu - augment.cpu))
    return {
        name: price * (1 / images) for name, price in (("decode", decode), ("augment", augment), ("prepare", prepare))
    }
