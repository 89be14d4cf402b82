"""`--set a.b=c`: one value of a recipe, changed from the command line or from Python."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from pipeline.distill.settings import DistillSettings
from pipeline.recipe.reading.extends import KEY as EXTENDS
from pipeline.recipe.reading.keys import takes_null, takes_only_text
from pipeline.recipe.reading.merging import PRESETS
from pipeline.recipe.reading.renamed import Told, current_path, rename_in_value, rename_key
from pipeline.yaml_document import LARGEST_DEPTH, KeyPath, dump_yaml, parse_yaml

FROM_PYTHON = "overrides"
"""How a change that was made in Python is called in messages, by the argument that has it."""

_VIEWS: KeyPath = ("distill", "views")

_Read = tuple[Any, Mapping[KeyPath, str], tuple[str, ...]]
"""The value of a key, how its parts are spelled, and what is wrong with its form."""


@dataclass(frozen=True)
class Override:
    """One `--set`.

    Attributes:
        text: as it was typed, without `--set`.
        path: the key, by its name of today.
        value: a plain value: text, number, boolean, None, list or section.
        spellings: of the values in it that are no texts, by their whole path; see `Document.spellings`.
        mistakes: what is wrong with its form; where there are any, path and value mean nothing.
        warnings: keys in it under a name that they had before.
    """

    text: str
    path: tuple[str, ...] = ()
    value: Any = None
    spellings: Mapping[KeyPath, str] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    given_by: str = "--set"
    """How it was given, for messages."""


def override_of(key: str, value: Any) -> Override:
    """The change of one key to a value from Python; messages name it `overrides key=value`.

    Args:
        key: such as `train.epochs`.
        value: a plain value: text, number, boolean, None, list or section.
    """
    text, path = _typed(key, value), tuple(part.strip() for part in key.split("."))
    mistake = _mistake_of(path) if "=" not in key else "expected a key such as train.epochs, got one with a ="
    if mistake:
        return Override(text, mistakes=(mistake,), given_by=FROM_PYTHON)

    def read(_path: KeyPath) -> _Read:
        document = parse_yaml(dump_yaml({"value": value}))
        spellings = {below[1:]: spelling for below, spelling in document.spellings.items()}
        mistakes = tuple(message for _, message in document.mistakes)
        return (document.value or {}).get("value"), spellings, mistakes

    return _with_current_names(Override(text, path, given_by=FROM_PYTHON), read)


def _typed(key: str, value: Any) -> str:
    """A change as it can be typed behind `--set`."""
    if isinstance(value, str) and parse_override(f"{key}={value}").value == value:
        return f"{key}={value}"
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def _mistake_of(path: tuple[str, ...]) -> str:
    """What is wrong with the form of a key; empty for nothing."""
    if not path or not all(path):
        return "expected a key, = and a value, such as train.epochs=10"
    if len(path) > LARGEST_DEPTH:
        return f"a key of more than {LARGEST_DEPTH} levels"
    if path[0] == EXTENDS:
        return f"{EXTENDS} belongs in the file: it is read before any --set"
    return ""


def parse_override(text: str) -> Override:
    """Read `a.b=c`.

    Where the key takes a text, the value is that text as it was typed, whatever YAML would make of it; only `null` and
    nothing at all are no text where the key may be null. Elsewhere it is YAML, so that `3`, `[1, 2]` and `{x: 1}` work.
    A command line has no comments: ` #` belongs to the value.
    """
    key, sign, value_text = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if mistake := _mistake_of(path if sign else ()):
        return Override(text, mistakes=(mistake,))
    if key != key.rstrip():
        value_text = value_text.lstrip()  # in `a = b`, the blanks belong to the sign
    return _with_current_names(Override(text, path), lambda path: _read_value(path, value_text))


def _with_current_names(override: Override, read: Callable[[tuple[str, ...]], _Read]) -> Override:
    """A change with its value, which `read` gives for its key; key and value under the names that keys have now."""
    told = Told()
    path = rename_key(override.path, told)
    value, spellings, mistakes = read(path)
    if not mistakes:
        value = rename_in_value(path, value, told)
        spellings = {current_path((*path, *below)): spelling for below, spelling in spellings.items()}
    told_mistakes = (*mistakes, *told.mistakes)
    return replace(
        override, path=path, value=value, spellings=spellings, mistakes=told_mistakes, warnings=tuple(told.warnings)
    )


def _read_value(path: tuple[str, ...], text: str) -> _Read:
    """The value of a key as it was typed, how its parts are spelled, and what is wrong with its form."""
    if takes_only_text(path):
        if text in ("", "null") and takes_null(path):
            return None, {}, ()
        if any("\ud800" <= character <= "\udfff" for character in text):
            return None, {}, ("expected UTF-8, got a byte that cannot be read",)
        return text, {}, ()
    document = parse_yaml(text)
    mistakes = tuple(message for _, message in document.mistakes)
    if not mistakes and (_is_plain_text(document.value, text) or _ends_in_a_comment(text)):
        return text.strip(), {}, ()
    return document.value, document.spellings, mistakes


def _is_plain_text(value: Any, text: str) -> bool:
    if not isinstance(value, str):
        return False
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return isinstance(node, yaml.ScalarNode) and node.style is None


def _ends_in_a_comment(text: str) -> bool:
    """Whether YAML would drop the end of a text that it can read."""
    without_end = (yaml.StreamEndToken, yaml.BlockEndToken)
    ends = [token.end_mark.index for token in yaml.scan(text) if not isinstance(token, without_end)]
    return bool(text[max(ends, default=0) :].strip())


def apply_override(tree: dict[str, Any], override: Override) -> None:
    """Set the value in a tree of plain values, in place; sections on the way are made where they are missing."""
    node = tree
    for depth, key in enumerate(override.path[:-1], start=1):
        if override.path[:depth] == _VIEWS and node.get(key, "auto") == "auto":
            # A recipe that names no views has the default ones; changing one of them must keep the other.
            node[key] = DistillSettings().model_dump(mode="json")["views"]
        if not isinstance(node.get(key), dict):
            is_preset = override.path[:depth] in PRESETS and isinstance(node.get(key), str)
            node[key] = {"preset": node[key]} if is_preset else {}
        node = node[key]
    last = override.path[-1]
    if override.path in PRESETS and isinstance(override.value, str) and isinstance(node.get(last), dict):
        node[last]["preset"] = override.value  # what else the section says, such as its epochs, stays
    else:
        node[last] = override.value
