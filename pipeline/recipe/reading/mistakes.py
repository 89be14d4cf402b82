"""Every mistake of a recipe's values at once, in plain English."""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.recipe.reading.keys import (
    all_paths,
    choices,
    expected,
    expected_name,
    is_free,
    known_keys,
    nearest,
    nearest_value,
    takes_any_text,
)
from pipeline.recipe.reading.scale import meant_number
from pipeline.recipe.schema.recipe import Recipe
from pipeline.settings import any_of, some_of
from pipeline.yaml_document import KeyPath, dotted, dump_yaml

_LONGEST_VALUE = 60
_MOST_HINTS = 200
"""Mistakes whose message says what may be meant."""
_FEW_KEYS = 8
"""Keys of a section that are listed beside one of another section, which may not be what was meant."""
_SECTION = "a section of keys"
_GOT_SECTION = f"got {_SECTION}"
_GOT_LIST = "got ["
_SWITCHES = {"yes": True, "no": False, "on": True, "off": False}
_NUMBER = re.compile(r"[-+]?[0-9][0-9,_ ]{0,40}")


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a recipe.

    Attributes:
        path: the key to blame.
        message: what was expected and what was found, without the key.
        involves: the other keys that the mistake follows from.
    """

    path: KeyPath
    message: str
    involves: tuple[KeyPath, ...] = ()


def validate(
    tree: dict[str, Any], spellings: Mapping[KeyPath, str] = MappingProxyType({})
) -> tuple[Recipe | None, list[Mistake]]:
    """The recipe of a tree of plain values, or else all of its mistakes.

    Args:
        tree: the values.
        spellings: how values that are no texts were written, see `Document.spellings`.

    A check over several keys runs only where each of them is right by itself. So the keys that are wrong are taken out
    and the rest is checked again, until it is right; what follows from a missing key is not a mistake of its own.
    """
    rest = deepcopy(tree)
    mistakes = list(_ambiguous(spellings))
    for mistake in mistakes:
        _remove(rest, mistake.path)
    while True:
        try:
            recipe = Recipe.model_validate(rest)
        except ValidationError as error:
            found = _translate(error, rest)
        else:
            return (None, [_with_spelling(mistake, spellings) for mistake in mistakes]) if mistakes else (recipe, [])
        blamed = [path for mistake in mistakes for path in (mistake.path, *mistake.involves)]
        mistakes += [mistake for mistake in found if not _follows_from(mistake, blamed)]
        removed = [_remove(rest, path) for mistake in found for path in (mistake.path, *mistake.involves)]
        if not any(removed):
            return None, [_with_spelling(mistake, spellings) for mistake in mistakes]


def _ambiguous(spellings: Mapping[KeyPath, str]) -> Iterator[Mistake]:
    """Words that YAML 1.1 takes for true and false, where no type says whether they are meant as words."""
    for path, spelling in spellings.items():
        if spelling.lower() in _SWITCHES and is_free(path):
            meant = str(_SWITCHES[spelling.lower()]).lower()
            yield Mistake(path, f"{spelling} is read as {meant}; write {meant}, or '{spelling}' for the text")


def _with_spelling(mistake: Mistake, spellings: Mapping[KeyPath, str]) -> Mistake:
    """A mistake, with the hint that a text is written in quotes where one is expected and YAML read something else."""
    spelling = spellings.get(mistake.path, "")
    if spelling.lower() in ("", "null", "~") or is_free(mistake.path) or not takes_any_text(mistake.path):
        return mistake
    return replace(mistake, message=f"{mistake.message}; a text is written in quotes: '{spelling}'")


def _follows_from(mistake: Mistake, blamed: list[KeyPath]) -> bool:
    if not mistake.involves:
        return False
    paths = (mistake.path, *mistake.involves)
    return any(path[: len(other)] == other[: len(path)] for path in paths for other in blamed)


def _remove(tree: dict[str, Any], path: KeyPath) -> bool:
    """Take a key out of a tree; of a list, the whole list. False where it was not there."""
    keys = [key for key in path if isinstance(key, str)]
    node: Any = tree
    for key in keys[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict) and keys and keys[-1] in node:
        del node[keys[-1]]
        return True
    return False


def _translate(error: ValidationError, tree: dict[str, Any]) -> list[Mistake]:
    details = error.errors(include_url=False)
    # Comparing each of thousands of unknown keys with all that are known would take minutes.
    found = (_mistake(each, tree, with_hint=number < _MOST_HINTS) for number, each in enumerate(details))
    # Each branch of a choice such as `integer or auto` gives an error of its own, with the same words here.
    mistakes = list(dict.fromkeys(found))
    # Of `a name or a section` and `a list or null`, the section or list was meant: what is wrong in it says enough.
    got = (_GOT_SECTION, _GOT_LIST)
    return [each for each in mistakes if not (any(text in each.message for text in got) and _has_more(each, mistakes))]


def _has_more(mistake: Mistake, mistakes: list[Mistake]) -> bool:
    """Whether another mistake lies below this one."""
    depth = len(mistake.path)
    return any(len(other.path) > depth and other.path[:depth] == mistake.path for other in mistakes)


def _mistake(details: ErrorDetails, tree: dict[str, Any], *, with_hint: bool) -> Mistake:
    path, value = _path_in(tree, details["loc"])
    context = details.get("ctx", {})
    match details["type"]:
        case "cross_field":
            return _cross_field(path, context)
        case "extra_forbidden":
            return Mistake(path, _unknown_key(path) if with_hint else "unknown key")
        case "union_tag_not_found":
            return Mistake(path, f"expected the key kind ({any_of(choices((*path, 'kind')))}), got none")
        case "union_tag_invalid":
            kind: KeyPath = (*path, "kind")
            # The view is involved because, without its kind, nothing else in it can be checked.
            return Mistake(kind, _wrong_value(expected(kind), value["kind"], choices(kind)), involves=(path,))
        case "unexpected":
            message = _wrong_value(context["expected"], value, context["names"], context["nearest"])
        case _ if "[key]" in details["loc"]:
            message = _wrong_value(expected_name(path[:-1]), path[-1])
        case _:
            message = _wrong_value(expected(path, some_of), value, choices(path))
            if path and (meant := meant_number(path, value)) is not None:
                message += f"; did you mean {meant:.10g}?"
            if isinstance(value, str) and value in choices((*path, 0)):
                message += f"; write [{value}]"
    return Mistake(path, message)


def _path_in(tree: Any, location: tuple[str | int, ...]) -> tuple[KeyPath, Any]:
    """The part of pydantic's location that is in the tree, and what is there; the names of union branches are not."""
    path: KeyPath = ()
    for key in location:
        in_section = isinstance(tree, dict) and key in tree
        in_list = isinstance(tree, list) and isinstance(key, int) and key < len(tree)
        if in_section or in_list:
            tree = tree[key]
            path = (*path, key)
    return path, tree


def _cross_field(path: KeyPath, context: dict[str, Any]) -> Mistake:
    message: str = context["message"]
    for key in context["involves"]:
        message = message.replace(f"@{key}", dotted((*path, *key.split("."))))
    involves = tuple((*path, *key.split(".")) for key in context["involves"])
    return Mistake((*path, *context["at"].split(".")), message, involves)


def _unknown_key(path: KeyPath) -> str:
    whole = tuple(str(path[-1]).split("."))
    if len(path) == 1 and len(whole) > 1 and whole in all_paths():
        return f"unknown key; dots are for --set: write {whole[-1]} below {dotted(whole[:-1])}"
    near, known = nearest(path), known_keys(path[:-1])
    hint = f"; did you mean {any_of(near)}?" if near else ""
    is_elsewhere = not any(dotted((*path[:-1], key)) in near for key in known)
    if near and not (is_elsewhere and len(path) > 1 and len(known) <= _FEW_KEYS):
        return f"unknown key{hint}"
    return f"unknown key{hint or ';'} {'Known' if hint else 'known'} here: {', '.join(known)}"


def _wrong_value(wanted: str, value: Any, names: Sequence[str] = (), near: Sequence[str] | None = None) -> str:
    if near is None:
        near = nearest_value(value, names) if isinstance(value, str) else []
    hint = f"; did you mean {any_of(near)}?" if near else ""
    if isinstance(value, str) and wanted.startswith(("an integer", "a number")) and _NUMBER.fullmatch(value):
        hint = f"; write {int(re.sub('[,_ ]', '', value))}"
    return f"expected {wanted}, got {_shown(value)}{hint}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return _SECTION
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]!r}…"
    if isinstance(value, list):
        text = f"[{', '.join(_shown(item) for item in value)}]"
    else:
        text = dump_yaml([value]).strip().removeprefix("- ")
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
