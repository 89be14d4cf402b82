"""How many images a run has in each split, before or after its stage `data`. No image is opened, and no torch here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.index import DataIndex
from pipeline.data.indexing import read_listing
from pipeline.data.settings import DataSettings
from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.data.listing import Listing


@dataclass(frozen=True)
class Counts:
    """Images of each split, and classes."""

    train: int
    validation: int
    test: int
    classes: int

    @property
    def images(self) -> int:
        """Of all splits."""
        return self.train + self.validation + self.test


def counts_of_index(index: DataIndex) -> Counts:
    """The counts of a data set that was indexed."""
    sizes = {name: len(split) for name, split in index.splits.items()}
    return Counts(sizes["train"], sizes["validation"], sizes["test"], len(index.classes))


def counts_of_listing(listing: "Listing", settings: DataSettings) -> Counts:
    """The counts that the stage `data` will find, but for images that it leaves out."""
    sizes = {name: len(split) for name, split in listing.splits.items()}
    train, validation = sizes["train"], sizes.get("validation")
    if validation is None:
        validation = round(train * settings.validation)
        train -= validation
    return Counts(min(train, settings.train_images or train), validation, sizes.get("test", 0), len(listing.classes))


def saved_index(run: RunDirectory, *, usable: bool) -> DataIndex | None:
    """The index that a run directory holds; None where there is none or it is not `usable`."""
    if not usable or not (run.folder("data") / "index.json").is_file():
        return None
    return DataIndex.load(run.folder("data"))


def count_images(settings: DataSettings) -> Counts:
    """The counts by the names of the files.

    Raises:
        UnavailableError: the data set is not there.
    """
    return counts_of_listing(read_listing(settings), settings)
