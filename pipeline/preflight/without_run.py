"""The checks that take neither data nor weights, for commands that run nothing: `check` and `doctor`."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.student.architectures.facts import facts_of
from pipeline.preflight.base import Follows, Report, Subject
from pipeline.preflight.packages import missing_packages
from pipeline.preflight.registry import AFTER_DATA, BEFORE_FIRST_STAGE
from pipeline.recipe.needs import teacher_image_size, tower_image_size
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.models.build import Model
    from pipeline.models.tapped import TappedNetwork

MOST_PARAMETERS = 100_000_000
"""Of a network that is built here, which takes seconds; fewer where images are larger than 224 × 224."""
_REINSTALL = "`tmkd-pipeline doctor` says which; install it anew."
_SIDE = 224
_CLASSES, _IMAGES_OF_EACH = 8, 2


@dataclass(frozen=True)
class Foreseen:
    """What a run of a recipe would end with before anything is trained, as far as it can be said without one.

    Attributes:
        mistakes: of the recipe, wherever it is run.
        machine: what is missing or unusable on this machine, and may be there on another one.
        left: what was not looked at, and why.
        warnings: shown by a run, which goes on.
    """

    mistakes: tuple[TmkdError, ...]
    machine: tuple[TmkdError, ...]
    left: tuple[str, ...]
    warnings: tuple[str, ...]


class _LeftToRunError(TmkdError):
    """What would take too long without a run."""


class _WithoutData(Subject):
    """A recipe whose data and weights are not looked at: stand-ins for classes and labels, networks without weights."""

    def __init__(self, recipe: Recipe, stages: frozenset[str]) -> None:
        super().__init__(_without_weights(recipe), RunDirectory(Path("runs") / recipe.name), stages)

    @property
    def classes(self) -> list[str]:
        return [f"class {number}" for number in range(_CLASSES)]

    @property
    def labels(self) -> np.ndarray:
        return np.arange(_CLASSES * _IMAGES_OF_EACH) % _CLASSES

    def student(self) -> "Model":
        _require_small("student", self.recipe.student.model, self.recipe.data.image_size)
        return super().student()

    def teacher(self) -> "TappedNetwork":
        _require_small("teacher.visual", self.recipe.teacher.visual.model, teacher_image_size(self.recipe))
        return super().teacher()

    def text_tower(self) -> "TappedNetwork":
        tower = self.recipe.teacher.text.tower
        if tower is not None and not tower.is_teacher:
            _require_small("teacher.text.tower", tower.model, tower_image_size(self.recipe))
        return super().text_tower()


def foresee(recipe: Recipe, stages: Iterable[str], kinds: Collection[Follows] = ("recipe", "machine")) -> Foreseen:
    """Make the checks of stages that would run.

    Networks are built where their packages are installed and they are small enough, at random, for a few classes.

    Args:
        recipe: the recipe.
        stages: names of those that would run.
        kinds: of the checks that are made.
    """
    subject = _WithoutData(recipe, frozenset(stages))
    reports: dict[Follows, Report] = {"recipe": Report(), "machine": Report()}
    left = []
    for check in (*BEFORE_FIRST_STAGE, *AFTER_DATA):
        if check.follows == "run" or check.follows not in kinds or not check.stages & subject.stages:
            continue
        if check.slow and missing_packages(check.stages & subject.stages):
            if check.follows == "recipe":
                left.append("networks whose packages are not installed")
            continue
        try:
            check.run(subject, reports[check.follows])
        except (ImportError, OSError) as error:  # a package is there and broken, such as for want of a driver's library
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            reports["machine"].add(UnavailableError(f"a package cannot be imported ({reason})", remedy=_REINSTALL))
    found = reports["recipe"].errors
    left += [str(error) for error in found if isinstance(error, _LeftToRunError)]
    mistakes = [error for error in found if isinstance(error, UsageError)]
    elsewhere = [error for error in found if not isinstance(error, UsageError | _LeftToRunError)]
    warnings = dict.fromkeys(warning for report in reports.values() for warning in report.warnings)
    machine = (*reports["machine"].errors, *elsewhere)
    return Foreseen(tuple(mistakes), machine, tuple(dict.fromkeys(left)), tuple(warnings))


def key_of(error: TmkdError) -> str | None:
    """The key of the recipe that a message begins with; None where it begins with none, such as about packages."""
    key, colon, _ = error.message.partition(": ")
    return key if colon and " " not in key else None


def _without_weights(recipe: Recipe) -> Recipe:
    """The recipe with networks that are not told where their weights are."""
    none, teacher = {"weights": "none"}, recipe.teacher
    tower = None if teacher.text.tower is None else teacher.text.tower.model_copy(update=none)
    text = teacher.text.model_copy(update={"tower": tower})
    visual = teacher.visual.model_copy(update=none)
    return recipe.model_copy(
        update={
            "student": recipe.student.model_copy(update=none),
            "teacher": teacher.model_copy(update={"visual": visual, "text": text}),
        }
    )


def _require_small(section: str, model: str, size: int) -> None:
    """Refuse to build a network that would take long.

    Raises:
        _LeftToRunError: it has too many parameters for its image size.
    """
    facts = facts_of(model)
    if facts is None or facts.parameters is None or facts.parameters * max(1, size / _SIDE) ** 2 <= MOST_PARAMETERS:
        return
    raise _LeftToRunError(
        f"{section}.model: {model} ({facts.parameters / 1e6:,.0f} million parameters, {size} × {size} pixels) is not"
        " built; whether it suits images and method is left to the run"
    )
