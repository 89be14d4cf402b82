"""The embedded data set, drawn by the project itself on first use."""

from pathlib import Path

from pipeline.data.birds_demo import ensure_birds_demo
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings
from pipeline.data.readers import folder


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the rendered class folders, after rendering them where they are not there yet.

    Args:
        root: where to keep the images; None for the user's cache.
        settings: of no effect here, since the set brings its own test split.
        progress: called while the images are rendered.

    Raises:
        UnavailableError: the folder holds something else, or cannot be written.
    """
    return folder.read(ensure_birds_demo(root, progress), settings)
