"""Keys that a recipe gives and that have no effect beside its other keys."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from exporters.core.wording import count_of
from pipeline.recipe.in_effect import deciding_key, rules
from pipeline.recipe.reading.load import LoadedRecipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import KeyPath, dotted

_MOST = 4
"""Keys that the note lists."""
_OFF: tuple[Any, ...] = (None, False, 0, "none", {}, [])
"""Values that switch something off, which is no mistake where it is off anyhow."""


def no_effect_note(loaded: LoadedRecipe) -> str | None:
    """One line that names the keys of someone's own recipe, or their `--set`s, that change nothing; None for none.

    What fragments and recipes that ship say is meant for several methods, and is not mentioned; nor is what stands in a
    `recipe.lock.yaml`, which has every key.
    """
    if loaded.recipe.lock is not None:
        return None
    given = [path for path, origin in loaded.origins.items() if not origin.ships]
    found = keys_without_effect(loaded.recipe, given)
    if not found:
        return None
    more = f" and {count_of(len(found) - _MOST, 'more key')}" if len(found) > _MOST else ""
    groups: dict[str, list[str]] = {}
    for key in found[:_MOST]:
        groups.setdefault(deciding_key(loaded.recipe, key), []).append(key)
    values = loaded.recipe.model_dump(mode="json")
    told = (f"({key} {_shown(_value(values, key.split('.')))}): {', '.join(idle)}" for key, idle in groups.items())
    return f"note: no effect in this recipe {'; '.join(told)}{more}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def keys_without_effect(recipe: Recipe, given: Iterable[KeyPath]) -> list[str]:
    """The keys or sections that nothing of the recipe's run follows from, in the order of the recipe.

    Args:
        recipe: the recipe.
        given: the keys that it gives, as against those that are left to their defaults.
    """
    paths = list(given)
    values = recipe.model_dump(mode="json")
    found: list[str] = []
    for key, matters in rules(recipe).items():
        path = tuple(key.split("."))
        below = [each for each in paths if each[: len(path)] == path]
        inside = any(key.startswith(f"{section}.") for section in found)
        if below and not inside and not matters(recipe) and not all(_is_off(values, each) for each in _leaves(below)):
            found.append(dotted(path))
    return found


def _leaves(paths: list[KeyPath]) -> list[KeyPath]:
    """The paths below which no other one lies."""
    return [path for path in paths if not any(len(other) > len(path) and other[: len(path)] == path for other in paths)]


def _is_off(values: Mapping[str, Any], path: KeyPath) -> bool:
    return _value(values, path) in _OFF


def _value(values: Mapping[str, Any], path: Iterable[str | int]) -> Any:
    value: Any = values
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
