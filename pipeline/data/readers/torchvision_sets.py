"""`torchvision:<Class>`: a classification data set of torchvision, found as torchvision finds it, and never fetched."""

from pathlib import Path
from typing import Any

import numpy as np

from exporters.core.errors import UnavailableError
from pipeline.data.listing import SPLITS, Listing, ProgressCallback, ReadSettings, Split, SplitName
from pipeline.data.readers.common import check_every_class, existing_root, readable_names
from pipeline.data.splits import stratified_mask
from pipeline.data.stores.torchvision_sets import open_set
from pipeline.data.torchvision_names import torchvision_set


def read(argument: str, root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the images of a set by number, in its own splits.

    A set that is not divided gives a stratified test split. Names are the set's own; where it has none (SVHN, GTSRB,
    USPS), the classes are called by their labels.

    Args:
        argument: a name of `TORCHVISION_SETS`.
        root: what torchvision calls root.
        settings: `test` and `split_seed` are used where the set is not divided.
        progress: of no effect, nothing is made or fetched.

    Raises:
        UsageError: no such set; suggests the nearest.
        UnavailableError: it is not there, or its splits differ in their classes.
    """
    asked = torchvision_set(argument)
    root = existing_root(root, f"torchvision:{argument}", f"give the folder that torchvision's {argument} is given")
    splits: dict[SplitName, Split] = {}
    names: list[str] = []
    for split in (name for name in SPLITS if name in asked.splits):
        found = open_set(argument, root, split)
        labels = _labels(found)
        if labels is None or len(labels) != len(found):
            raise UnavailableError(f"{root}: torchvision's {argument} ({split}) gives no label for each image")
        ours = _names(found)
        if ours is None:
            numbers = sorted(set(labels))
            ours, labels = [str(number) for number in numbers], [numbers.index(label) for label in labels]
        if split == "train":
            names = ours
        elif ours != names:
            raise UnavailableError(f"{root}: torchvision's {argument} has other classes in {split} than in train")
        splits[split] = Split((f"{split}/{number}" for number in range(len(labels))), labels)
    readable = readable_names(names, root)
    check_every_class(root, readable, splits)
    sampled = "test" not in splits
    if sampled:
        whole = splits["train"]
        taken = stratified_mask(whole.labels, readable, settings.test, settings.split_seed, "test split")
        splits = {"train": whole.select(~taken), "test": whole.select(taken)}
    return Listing(root, readable, splits, store=f"torchvision:{argument}", sampled_test=sampled)


def _labels(found: Any) -> list[int] | None:
    """The labels of all images, from where a set keeps them, so that no image is decoded; None where it keeps none."""
    labels: Any = None
    for name in ("targets", "labels", "_labels", "y"):
        if getattr(found, name, None) is not None:
            labels = np.asarray(getattr(found, name))
            break
    else:
        for name in ("samples", "_samples"):
            if getattr(found, name, None) is not None:
                labels = np.asarray([sample[1] for sample in getattr(found, name)])
                break
    if labels is None or labels.dtype.kind not in "iu":
        return None
    # QMNIST gives eight numbers for each image, of which the first is the class.
    listed: list[int] = (labels if labels.ndim == 1 else labels[:, 0]).tolist()
    return listed


def _names(found: Any) -> list[str] | None:
    names = getattr(found, "classes", None) or getattr(found, "categories", None)
    return [", ".join(name) if isinstance(name, tuple) else str(name) for name in names] if names else None
