"""The splits that a run would make of the images that can be used, and where it would stop."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporters.core.errors import UnavailableError
from pipeline.data.final_splits import (
    choose_training_images,
    leave_out_leaks,
    reunite_sampled_copies,
    split_off_validation,
)
from pipeline.data.index import IndexedSplit
from pipeline.data.leaks import Leak, find_leaks
from pipeline.data.listing import Listing, SplitName
from pipeline.data.settings import DataSettings


@dataclass(frozen=True, eq=False)
class Divided:
    """What becomes of the splits.

    Attributes:
        splits: those of a run; where it would stop, as far as it comes.
        before: the splits that `leaks` refers to: those given, or sampled with copies on one side.
        leaks: images that stand in two of `before`.
        unused: number of images left out, by the setting that says so.
        refusal: why the run would stop, leaks apart; None where it would not.
    """

    splits: Mapping[SplitName, IndexedSplit]
    before: Mapping[SplitName, IndexedSplit]
    leaks: list[Leak]
    unused: dict[str, int]
    refusal: str | None


def divide(settings: DataSettings, listing: Listing, usable: Mapping[SplitName, IndexedSplit]) -> Divided:
    """Take the steps of the stage `data`; what would stop it is reported, not raised.

    Under `data.on_leak: fail` the splits stay as they were given where images stand in two of them.

    Args:
        settings: the recipe's `data` section.
        listing: the data set.
        usable: the images of each listed split that can be used.
    """
    splits = dict(usable)
    refusal = None
    try:
        reunite_sampled_copies(listing, splits)
    except UnavailableError as error:
        refusal = error.message
    before = dict(splits)
    leaks = find_leaks({name: split.sha256 for name, split in splits.items()})
    unused: dict[str, int] = {}
    if refusal is not None or (leaks and settings.on_leak == "fail"):
        return Divided(splits, before, leaks, unused, refusal)
    try:
        for name, split in splits.items():
            listing.require_every_class(name, split.labels, "once unreadable ones are skipped")
        if dropped := leave_out_leaks(listing, splits, settings.on_leak):
            unused["data.on_leak"] = len(dropped)
        split_off_validation(settings, listing, splits)
        found = len(splits["train"])
        choose_training_images(settings, listing, splits)
        if found > len(splits["train"]):
            unused["data.train_images"] = found - len(splits["train"])
    except UnavailableError as error:
        refusal = error.message
    return Divided(splits, before, leaks, unused, refusal)
