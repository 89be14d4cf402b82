"""`--set a.b=c`: one value of a recipe, changed from the command line."""

from dataclasses import dataclass
from typing import Any

from pipeline.recipe.document import KeyPath, parse_yaml
from pipeline.recipe.extends import KEY as EXTENDS
from pipeline.recipe.schema import DistillSettings

_VIEWS: KeyPath = ("distill", "views")


@dataclass(frozen=True)
class Override:
    """One `--set`.

    Attributes:
        text: as it was typed, without `--set`.
        path: the key.
        value: a plain value: text, number, boolean, None, list or section.
        mistakes: what is wrong with its form; where there are any, path and value mean nothing.
    """

    text: str
    path: tuple[str, ...] = ()
    value: Any = None
    mistakes: tuple[str, ...] = ()


def parse_override(text: str) -> Override:
    """Read `a.b=c`; the value is YAML, so that `[1, 2]`, `{x: 1}`, `null` and `'text'` work."""
    key, sign, value_text = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not sign or not all(path):
        return Override(text, mistakes=("expected a key, = and a value, such as train.epochs=10",))
    if path[0] == EXTENDS:
        return Override(text, mistakes=(f"{EXTENDS} stands in the file: what it names is read before any --set",))
    document = parse_yaml(value_text)
    return Override(text, path, document.value, tuple(message for _, message in document.mistakes))


def apply_override(tree: dict[str, Any], override: Override) -> None:
    """Set the value in a tree of plain values, in place; sections on the way are made where they are missing."""
    node = tree
    for depth, key in enumerate(override.path[:-1], start=1):
        if key not in node and override.path[:depth] == _VIEWS:
            # A recipe that names no views has the default ones; changing one of them must keep the other.
            node[key] = DistillSettings().model_dump(mode="json")["views"]
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    node[override.path[-1]] = override.value
