"""Keys that a recipe gives and that have no effect under its method."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from exporters.core.wording import count_of
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import AUTO
from pipeline.recipe.needs import has_views, needs_teacher, needs_text_embeddings
from pipeline.recipe.reading.load import LoadedRecipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import KeyPath, dotted

_MOST = 4
"""Keys that the note lists."""
_OFF: tuple[Any, ...] = (None, False, 0, "none", {}, [])
"""Values that switch something off, which is no mistake where it is off anyhow."""


def no_effect_note(loaded: LoadedRecipe) -> str | None:
    """One line that names the keys of someone's own recipe, or their `--set`s, that change nothing; None for none.

    What fragments and recipes that ship say is meant for several methods, and is not mentioned.
    """
    given = [path for path, origin in loaded.origins.items() if not origin.ships]
    found = keys_without_effect(loaded.recipe, given)
    if not found:
        return None
    more = f" and {count_of(len(found) - _MOST, 'more key')}" if len(found) > _MOST else ""
    return f"note: no effect under distill.method {loaded.recipe.distill.method}: {', '.join(found[:_MOST])}{more}"


def keys_without_effect(recipe: Recipe, given: Iterable[KeyPath]) -> list[str]:
    """The keys or sections that nothing of the recipe's run follows from, in the order of the recipe.

    Args:
        recipe: the recipe.
        given: the keys that it gives, as against those that are left to their defaults.
    """
    paths = list(given)
    values = recipe.model_dump(mode="json")
    found: list[str] = []
    for key, matters in _RULES.items():
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
    value: Any = values
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value in _OFF


def _methods(recipe: Recipe) -> set[str]:
    """Names of `METHODS` that may train the student, bases included."""
    return {name for each in recipe.distill.candidates for name in (each.method, each.base) if name is not None}


def _learns_from_a_teacher(recipe: Recipe) -> bool:
    return any(METHODS[name].needs_teacher for name in _methods(recipe))


def _has_loss(name: str) -> Callable[[Recipe], bool]:
    """Whether a method has this loss; TMKD adds either to a base that has none."""
    return lambda recipe: recipe.distill.may_use_tmkd or any(name in METHODS[each].losses for each in _methods(recipe))


def _is_one_of(*names: str) -> Callable[[Recipe], bool]:
    return lambda recipe: not _methods(recipe).isdisjoint(names)


def _contrasts(recipe: Recipe) -> bool:
    return recipe.distill.may_use_tmkd and recipe.distill.contrast.weight > 0


_RULES: Mapping[str, Callable[[Recipe], bool]] = {
    "teacher": lambda recipe: needs_teacher(recipe) or needs_text_embeddings(recipe),
    "teacher.text": lambda recipe: needs_text_embeddings(recipe) or _contrasts(recipe),
    "distill.base": lambda recipe: recipe.distill.method in ("tmkd", AUTO),
    "distill.auto": lambda recipe: recipe.distill.method == AUTO,
    "distill.balance": _learns_from_a_teacher,
    "distill.views": lambda recipe: recipe.distill.may_use_tmkd,
    "distill.student_views": has_views,
    "distill.weighting": has_views,
    "distill.feature": _has_loss("feature"),
    "distill.feature.bank": _is_one_of("crd"),
    "distill.logits": _has_loss("logits"),
    "distill.logits.target_weight": _is_one_of("dkd"),
    "distill.logits.non_target_weight": _is_one_of("dkd"),
    "distill.contrast": _contrasts,
    "distill.teacher_cache": _learns_from_a_teacher,
    "distill.teacher_cache.stages": _is_one_of("fitnet", "reviewkd"),
    "distill.warmup": lambda recipe: _has_loss("feature")(recipe) or _contrasts(recipe),
    "distill.on_no_gain": lambda recipe: recipe.distill.method != "ce",
    "distill.reference": lambda recipe: recipe.distill.method == "tmkd",
    "student.baseline": lambda recipe: recipe.distill.method not in ("ce", AUTO),
}
"""Key or section → whether it changes anything of a run."""
