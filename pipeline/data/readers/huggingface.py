"""`hf:<name>`: a data set of the Hugging Face library `datasets`, an optional extra."""

from pathlib import Path

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split, SplitName
from pipeline.data.readers.common import check_every_class, existing_root, named_splits, notes_on_test, readable_names
from pipeline.data.stores.huggingface import feature_column, open_splits

LABELS = ("label", "labels", "fine_label")
IMAGES = ("image", "img")


def read(argument: str, root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the rows of the splits `train` and `test`, called as for `folder`.

    The label is the column with the feature ClassLabel, the image that with the feature Image. `settings` and
    `progress` are of no effect.

    Args:
        argument: the data set's name.
        root: a folder with the data set, or the library's cache.
        settings: of no effect, the splits are given.
        progress: of no effect.

    Raises:
        UnavailableError: the library is missing, finds no such set, or the set has no such columns or splits, a row
            without a label, or other classes in one split than in another.
    """
    root = existing_root(root, f"hf:{argument}", "give a folder with the data set, or one to keep it in, by data.root")
    found = open_splits(root, argument)
    names: list[str] = []
    splits: dict[SplitName, Split] = {}
    made = named_splits(found, root, "make one with datasets' train_test_split and save_to_disk")
    for split, theirs in made.items():
        dataset = found[theirs]
        feature_column(dataset, "Image", IMAGES)
        column = feature_column(dataset, "ClassLabel", LABELS)
        if split == "train":
            names = list(dataset.features[column].names)
        elif list(dataset.features[column].names) != names:
            raise UnavailableError(f"{root}: hf:{argument} has other classes in {theirs} than in train")
        labels = [-1 if label is None else int(label) for label in dataset[column][:]]
        wrong = next((row for row, label in enumerate(labels) if not 0 <= label < len(names)), None)
        if wrong is not None:
            raise UnavailableError(f"{root}: hf:{argument}: row {theirs}/{wrong} has no label")
        splits[split] = Split((f"{theirs}/{number}" for number in range(len(labels))), labels)
    check_every_class(root, names, splits)
    return Listing(root, readable_names(names, root), splits, store=f"hf:{argument}", notes=notes_on_test(made))
