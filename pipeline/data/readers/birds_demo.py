"""The embedded data set, drawn by the project itself on first use."""

from pathlib import Path

from exporters.errors import UnavailableError
from pipeline.data.birds_demo import CLASS_NAMES, ensure_birds_demo
from pipeline.data.listing import Listing, ReadSettings
from pipeline.data.readers import folder


def read(root: Path | None, settings: ReadSettings) -> Listing:
    """List the rendered class folders, after rendering them where they are not there yet.

    Args:
        root: where to keep the images; None for the user's cache.
        settings: of no effect here, since the set brings its own test split.

    Raises:
        UnavailableError: the folder holds something else, or cannot be written.
    """
    root = ensure_birds_demo(root)
    listing = folder.read(root, settings)
    if set(listing.classes) != set(CLASS_NAMES):
        raise UnavailableError(
            f"{root}: does not hold the classes of birds_demo", remedy="remove it, or leave data.root out"
        )
    return listing
