"""The base class of all settings, and the mistakes that their checks raise.

A setting is declared once, beside the code that it steers: in `pipeline/<room>/settings.py`, as a frozen class with
bounds and descriptions, and without torch. `pipeline.recipe.schema` puts these classes together to a recipe.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

from exporters.core.errors import UsageError
from exporters.core.licences import check_licence

_MOST_NAMES = 20
"""Names that a message lists."""

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class Settings(BaseModel):
    """One section of a recipe: unknown keys are errors, values are never coerced, instances never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def problem(at: str, message: str, *involves: str) -> PydanticCustomError:
    """A mistake that shows only when several keys are read together.

    Args:
        at: dotted path of the key to blame, relative to the model that raises.
        message: what was expected and what was found; other keys are written `@path`, relative to the same model, and
            shown with their full path.
        involves: dotted paths of the other keys that the check read.
    """
    return PydanticCustomError("cross_field", "{message}", {"message": message, "at": at, "involves": involves})  # type: ignore[arg-type]


def one_of(names: Sequence[str]) -> AfterValidator:
    """A check that a text is one of the names."""

    def check(text: str) -> str:
        if text not in names:
            raise unexpected(some_of(names), names)
        return text

    return AfterValidator(check)


def file_or(names: Sequence[str]) -> AfterValidator:
    """A check that a text is one of the names or may be a file, so that a slip in a name is not taken for a file."""

    def check(text: str) -> str:
        if text not in names and not PurePath(text).suffix and "/" not in text and "\\" not in text:
            raise unexpected(f"{', '.join(names)} or a file such as ./name.suffix", names)
        return text

    return AfterValidator(check)


def unexpected(expected: str, names: Sequence[str], nearest: Sequence[str] | None = None) -> PydanticCustomError:
    """The mistake of another value than these; `nearest` are those that may be meant, found from `names` if None."""
    context = {"expected": expected, "names": list(names), "nearest": None if nearest is None else list(nearest)}
    return PydanticCustomError("unexpected", "expected {expected}", context)


def any_of(names: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def some_of(names: Sequence[str]) -> str:
    """`any_of`; of more names than a line holds, the first few and how many there are."""
    return any_of(names) if len(names) <= _MOST_NAMES else f"{', '.join(names[:3])} or another of {len(names)} names"


def check_names(option: str, names: Sequence[str], known: Sequence[str] | None = None) -> None:
    """Refuse, by UsageError, no names, names that stand twice, and those that are not known."""
    listed = f"Known: {', '.join(known)}." if known else None
    if not names:
        raise UsageError(f"{option}: expected at least one name, got none", remedy=listed)
    unknown = [name for name in names if known is not None and name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known or (), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{option}: there is no {', '.join(map(repr, unknown))}{hint}", remedy=listed)
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"{option}: {', '.join(repeated)} stands there twice")


def _known_licence(text: str) -> str:
    try:
        return check_licence(text)
    except UsageError as error:
        raise unexpected("an SPDX licence identifier such as Apache-2.0 or CC-BY-NC-4.0", ()) from error


Licence = Annotated[NonEmpty, AfterValidator(_known_licence)]
"""A licence as an SPDX identifier."""
