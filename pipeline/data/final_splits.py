"""From the splits that a reader lists to those that a run trains on. Each step changes a dictionary of splits in place.

The stage `data` and `data inspect` both take these steps, so that they show the same counts.
"""

from typing import Literal

import numpy as np

from pipeline.data.copies import content_groups
from pipeline.data.index import IndexedSplit, SkippedFile
from pipeline.data.leaks import leaking_images, reunite_copies
from pipeline.data.listing import Listing, SplitName
from pipeline.data.settings import DataSettings
from pipeline.data.splits import stratified_choice, stratified_mask


def reunite_sampled_copies(listing: Listing, splits: dict[SplitName, IndexedSplit]) -> None:
    """Put copies on one side where the reader sampled the test split; do nothing for splits that were given.

    Raises:
        UnavailableError: a class is left without training images.
    """
    if not listing.sampled_test:
        return
    train, test = splits["train"], splits["test"]
    if moves := reunite_copies(train.sha256, test.sha256, test.labels):
        to_test, to_train = moves
        splits["train"] = train.select(~to_test).joined(test.select(to_train))
        splits["test"] = test.select(~to_train).joined(train.select(to_test))
        listing.require_every_class("train", splits["train"].labels, "once copies of test images are test images")


def leave_out_leaks(
    listing: Listing, splits: dict[SplitName, IndexedSplit], on_leak: Literal["fail", "drop"]
) -> list[SkippedFile]:
    """Make sure that no image stands in two splits.

    Args:
        listing: the data set.
        splits: changed in place.
        on_leak: what happens to an image that stands in two splits.

    Returns:
        The images that were left out.

    Raises:
        UnavailableError: images stand in two splits under `fail`, or a class is left without any.
    """
    dropped: list[SkippedFile] = []
    leaking = leaking_images({name: (split.paths, split.sha256) for name, split in splits.items()}, on_leak)
    for name, reasons in leaking.items():
        dropped += [SkippedFile(name, splits[name].paths[at], why) for at, why in sorted(reasons.items())]
        kept = np.ones(len(splits[name]), dtype=bool)
        kept[list(reasons)] = False
        splits[name] = splits[name].select(kept)
        listing.require_every_class(name, splits[name].labels, "once those that stand in another split are left out")
    return dropped


def split_off_validation(settings: DataSettings, listing: Listing, splits: dict[SplitName, IndexedSplit]) -> None:
    """Split validation from training where the data set brings none; copies stay on one side.

    Raises:
        UnavailableError: a class has too few different images.
    """
    if "validation" in splits:
        return
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


def choose_training_images(settings: DataSettings, listing: Listing, splits: dict[SplitName, IndexedSplit]) -> None:
    """Keep as many training images as `data.train_images` says.

    Raises:
        UnavailableError: there are fewer, or fewer than classes are asked for.
    """
    if settings.train_images is not None:
        train = splits["train"]
        chosen = stratified_choice(
            train.labels, listing.classes, settings.train_images, settings.split_seed, "training images"
        )
        splits["train"] = train.select(chosen)


def _narrowed(split: IndexedSplit, mask: np.ndarray) -> IndexedSplit:
    """`split.select(mask)`, array by array: no two whole splits are in memory where the caller holds none."""
    parts = dict(vars(split))
    del split
    for name in ("labels", "sha256", "sizes"):
        parts[name] = parts[name][mask]
    parts["paths"] = parts["paths"].select(mask)
    return IndexedSplit(**parts)
