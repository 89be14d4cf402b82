"""Values from Python as a recipe's file has them: dictionaries, lists, texts, numbers, booleans and None."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from exporters.core.errors import UsageError

_DEEPEST = 40


def plain_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values as a file has them: paths become texts, tuples lists, and numbers of numpy or torch Python's own.

    Args:
        values: key → value, nested as they may be.
        where: what they are called in messages.

    Raises:
        UsageError: values that cannot stand in a file, a line for each.
    """
    mistakes: list[str] = []
    found = _plain(values, (), mistakes)
    if mistakes:
        raise UsageError(
            "\n".join(f"{where}: {mistake}" for mistake in mistakes),
            remedy="Values are texts, numbers, booleans, None, lists and dictionaries.",
        )
    return dict(found)


def _plain(value: Any, at: tuple[str, ...], mistakes: list[str]) -> Any:
    if value is None or type(value) in (str, bool, int, float):
        return value
    if len(at) > _DEEPEST:
        mistakes.append(f"{'.'.join(at[:3])}: more than {_DEEPEST} levels")
        return None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                mistakes.append(f"{'.'.join((*at, repr(key)))}: a key is a text, not {type(key).__name__}")
        return {key: _plain(inner, (*at, key), mistakes) for key, inner in value.items() if isinstance(key, str)}
    if isinstance(value, list | tuple):
        return [_plain(inner, (*at, str(index)), mistakes) for index, inner in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    number = _number(value)
    if number is None:
        mistakes.append(f"{'.'.join(at)}: {type(value).__name__} cannot stand in a recipe")
    return number


def _number(value: Any) -> int | float | bool | str | None:
    """The Python value of a subclass of text or number, or of an array of one element; None for anything else."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    try:
        found = value.item()
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None
    return found if type(found) in (bool, int, float) else None
