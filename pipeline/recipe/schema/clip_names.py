"""Names of open_clip's models and the tags of their weights, without open_clip: a list that ships.

`make names` writes it from the installed open_clip, and the lists of networks beside it.
"""

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from exporters.core.files import read_json, write_json
from exporters.student.architectures.names import is_complete, write_list

LIST = Path(__file__).with_name("clip_names.json")
LIBRARY = "open_clip_torch"


@cache
def shipped_clip_names() -> Mapping[str, tuple[str, ...]]:
    """Model → the tags of its weights, in the version that the list was made from."""
    return {model: tuple(tags) for model, tags in read_json(LIST)["models"].items()}


def clip_list_is_complete() -> bool:
    """Whether the installed open_clip has no more than the list; true as well where it is not installed."""
    return is_complete(LIBRARY, read_json(LIST)["version"])


def installed_clip_names() -> dict[str, list[str]]:
    """Model → its tags in the order of the installed open_clip; imports it."""
    import open_clip

    return {model: open_clip.list_pretrained_tags_by_model(model) for model in sorted(open_clip.list_models())}


def main() -> None:
    """Write the lists from what is installed."""
    from exporters.student.architectures.facts import write_facts

    write_list()
    write_facts()
    write_json(LIST, {"version": importlib.metadata.version(LIBRARY), "models": installed_clip_names()})
