"""Data sets by name. A new one is a new file in `readers/` and a line here; nothing here imports torch."""

import difflib
import re
from functools import partial
from importlib import import_module

from exporters.core.errors import UsageError
from pipeline.data.listing import Reader

DATASETS: dict[str, str] = {
    "birds_demo": "pipeline.data.readers.birds_demo:read",
    "cifar10": "pipeline.data.readers.cifar:read_cifar10",
    "cifar100": "pipeline.data.readers.cifar:read_cifar100",
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
    "stl10": "pipeline.data.readers.stl10:read",
    "webdataset": "pipeline.data.readers.webdataset:read",
}

FAMILIES: dict[str, str] = {
    "hf": "pipeline.data.readers.huggingface:read",
    "torchvision": "pipeline.data.readers.torchvision_sets:read",
}
"""Data sets whose name has a part to fill in, such as `torchvision:SVHN`; their readers take that part first."""

LICENCES = {"birds_demo": "Apache-2.0", "oxford_pets": "CC-BY-SA-4.0"}
"""What a data set's own home states, as an SPDX identifier. The others state none, or terms that SPDX does not know."""

FAMILY_PATTERNS = {
    "hf:<name>": r"^hf:[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$",
    "torchvision:<Class>": r"^torchvision:[A-Za-z0-9_]+$",
}
"""How the names of the families are written, and what they must match."""


def dataset_names() -> list[str]:
    """What a data set may be called, for messages: the names, sorted, and how those of the families are written."""
    return [*sorted(DATASETS), *FAMILY_PATTERNS]


def is_dataset(name: str) -> bool:
    """Whether a name is of a data set, or is written like one of a family."""
    return name in DATASETS or any(re.fullmatch(pattern, name) for pattern in FAMILY_PATTERNS.values())


def reader_module(name: str) -> str:
    """The module of the reader of a data set, for which `is_dataset` holds."""
    return _entry(name).partition(":")[0]


def _entry(name: str) -> str:
    return DATASETS[name] if name in DATASETS else FAMILIES[name.partition(":")[0]]


def load_reader(name: str) -> Reader:
    """The function `read(root, settings) -> Listing` of a data set.

    Raises:
        UsageError: no data set has this name; the message suggests the nearest one.
    """
    if not is_dataset(name):
        nearest = difflib.get_close_matches(name, dataset_names(), n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        raise UsageError(
            f"data.dataset: no data set is named '{name}'{hint}", remedy=f"known: {', '.join(dataset_names())}"
        )
    module, function = _entry(name).split(":")
    reader = getattr(import_module(module), function)
    return reader if name in DATASETS else partial(reader, name.partition(":")[2])
