"""Data sets by name. A new one is a new file in `readers/` and a line here; nothing here imports torch."""

import difflib
from importlib import import_module

from exporters.errors import UsageError
from pipeline.data.listing import Reader

DATASETS: dict[str, str] = {
    "birds_demo": "pipeline.data.readers.birds_demo:read",
    "cub200": "pipeline.data.readers.cub200:read",
    "fgvc_aircraft": "pipeline.data.readers.fgvc_aircraft:read",
    "flowers102": "pipeline.data.readers.flowers102:read",
    "folder": "pipeline.data.readers.folder:read",
    "food101": "pipeline.data.readers.food101:read",
    "imagenet": "pipeline.data.readers.imagenet:read",
    "oxford_pets": "pipeline.data.readers.oxford_pets:read",
    "stanford_cars": "pipeline.data.readers.stanford_cars:read",
    "stanford_dogs": "pipeline.data.readers.stanford_dogs:read",
    "tiny_imagenet": "pipeline.data.readers.tiny_imagenet:read",
}


def load_reader(name: str) -> Reader:
    """The function `read(root, settings) -> Listing` of a data set.

    Raises:
        UsageError: no data set has this name; the message suggests the nearest one.
    """
    if name not in DATASETS:
        nearest = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise UsageError(f"data.dataset: no data set is named '{name}'{hint}", remedy=f"known: {', '.join(DATASETS)}")
    module, function = DATASETS[name].split(":")
    reader: Reader = getattr(import_module(module), function)
    return reader
