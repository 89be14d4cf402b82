"""Names of networks without the libraries that have them: a list that ships, and the nearest names to a slip.

`make names` writes the list from the installed libraries.
"""

import difflib
import importlib.metadata
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from packaging.version import Version

from exporters.core.files import read_json, write_json

LIST = Path(__file__).with_name("names.json")
"""`versions` of torchvision and timm, and the `names` that these versions have."""

_MOST = 4


@cache
def shipped_names(source: str) -> frozenset[str]:
    """The names of torchvision or timm, in the version that the list was made from."""
    return frozenset(read_json(LIST)["names"][source])


def is_complete(library: str, version: str) -> bool:
    """Whether a list made from `version` of a library has every name that the installed one has.

    A later version may have more; where the library is not installed, the list is all that can be known.
    """
    try:
        return Version(importlib.metadata.version(library)) <= Version(version)
    except importlib.metadata.PackageNotFoundError:
        return True


def list_is_complete(source: str) -> bool:
    """`is_complete` for the list that ships, of torchvision or timm."""
    return is_complete(source, _list_version(source))


@cache
def _list_version(source: str) -> str:
    return str(read_json(LIST)["versions"][source])


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The known names that a slip most likely means, the nearest first; four at most.

    Case and separators count for little (`ResNet-18`), and a name that goes on (`mobilenetv3_small_100`) is near.
    """
    known = list(known)
    bare = name.partition(".")[0]  # what timm's tags stand behind, as in `resnet50.a1_in1k`
    wanted = plain(bare if bare in known else name)
    by_name = {other: plain(other) for other in known}
    same = [other for other, text in by_name.items() if text == wanted]
    if same:
        return sorted(same)[:_MOST]

    def distance(other: str) -> tuple[float, int, str]:
        ratio = difflib.SequenceMatcher(None, wanted, by_name[other]).ratio()
        return -ratio, len(other), other

    def goes_on(text: str) -> bool:  # with a slip too, as `mobilnet_v3` for `mobilenet_v3_small`
        head = difflib.SequenceMatcher(None, wanted, text[: len(wanted) + 1])
        return text.startswith(wanted) or (len(wanted) > 6 and head.quick_ratio() >= 0.9 and head.ratio() >= 0.9)

    longer = [other for other, text in by_name.items() if len(wanted) > 3 and goes_on(text)]
    close = set(difflib.get_close_matches(wanted, by_name.values(), n=_MOST, cutoff=0.7))
    others = [other for other, text in by_name.items() if text in close and other not in longer]
    return [*sorted(longer, key=distance)[:3], *sorted(others, key=distance)][:_MOST]


def plain(name: str) -> str:
    """A name without case and separators, as names are compared by."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def installed_names(source: str) -> list[str]:
    """The names that the installed torchvision or timm has, sorted; imports it.

    Raises:
        ImportError: it is not installed, or cannot be imported.
    """
    if source == "torchvision":
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    return sorted(timm.list_models())


def write_list() -> None:
    """Write the list from what is installed."""
    sources = ("torchvision", "timm")
    versions = {source: importlib.metadata.version(source) for source in sources}
    write_json(LIST, {"versions": versions, "names": {source: installed_names(source) for source in sources}})
