"""Arguments of Python and options of the commands: lists of names as either writes them, and errors in its words."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from exporters.core.errors import TmkdError

_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)\b")


@contextmanager
def for_python(function: Callable[..., Any], **renamed: str) -> Iterator[None]:
    """A block whose errors name arguments of Python: `--calibration-images` becomes `calibration_images`.

    Args:
        function: whose arguments they are; options that it has no argument for are another command's, and stay.
        renamed: option, `_` for `-` → argument, where the names differ.
    """
    arguments = inspect.signature(function).parameters

    def argument(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        name = renamed.get(name, name)
        return name if name in arguments else found[0]

    try:
        yield
    except TmkdError as error:
        error.message = _OPTION.sub(argument, error.message)
        error.remedy = None if error.remedy is None else _OPTION.sub(argument, error.remedy)
        raise


def names_of(given: Sequence[str]) -> tuple[str, ...]:
    """Names as a list, or as one text with commas between them, as the commands take them."""
    return tuple(name.strip() for name in (given.split(",") if isinstance(given, str) else given))
