"""Numbers that are not written as their key takes them: per cent where a share is expected, the reverse, channels up to
255, a unit behind the number, a list of one number, 1e3 for a whole number."""

import re
from typing import Any

from pipeline.recipe.reading.keys import number_bounds
from pipeline.yaml_document import KeyPath

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_WITH_UNIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?[A-Za-z]{1,10}")
_LEAST_PERCENT = 2.0
"""Below it a number such as 1.5 is more likely beyond the bound than meant as 1.5 %."""
_CHANNELS = ("mean", "std")
_BRIGHTEST = 255


def meant_number(path: KeyPath, value: Any) -> float | None:
    """The number on the key's own scale that a number beyond its bounds, a text such as `70%` or `64px`, or a list of
    one number most likely means.

    Args:
        path: the key; an item of a list is taken for one of `mean` or `std`, or for nothing.
        value: what was found there.

    Returns:
        The number, within the key's bounds, to ten significant digits, of channels to four; None where no other scale
        is likely.
    """
    if isinstance(value, list):
        only = value[0] if len(value) == 1 else None
        return _within(path, only) if isinstance(only, int | float) and not isinstance(only, bool) else None
    if isinstance(value, str):
        if (number := _WITH_UNIT.fullmatch(value.strip())) is not None and not _is_share(path):
            return _within(path, float(number[1]))
        if (written := _PERCENT.fullmatch(value.strip())) is None or not _is_share(path):
            return None
        return _within(path, float(written[1]) / 100)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(path[-1], int):
        is_channel = len(path) > 1 and path[-2] in _CHANNELS
        return _within(path, value / _BRIGHTEST, digits=4) if is_channel and 1 < value <= _BRIGHTEST else None
    if _is_share(path):
        return _within(path, value / 100) if _LEAST_PERCENT <= value <= 100 else None
    if _is_percentage(path):
        return _within(path, value * 100) if 0 < value <= 1 else None
    if isinstance(value, float) and value.is_integer():  # such as 1e3 where a whole number is expected
        return _within(path, int(value))
    return None


def _is_share(path: KeyPath) -> bool:
    """Whether numbers there lie between 0 and 1."""
    return any(bounds.least >= 0 and bounds.most <= 1 for bounds in number_bounds(path))


def _is_percentage(path: KeyPath) -> bool:
    """Whether numbers there lie between 1 and 100, and end at 100."""
    return any(bounds.least >= 1 and bounds.most == 100 and not bounds.whole for bounds in number_bounds(path))


def _within(path: KeyPath, number: float, digits: int = 10) -> float | None:
    rounded = float(f"{number:.{digits}g}")
    return rounded if any(rounded in bounds for bounds in number_bounds(path)) else None
