"""The gates that a student must pass on the validation split before anything is exported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.recipe.schema.validate import ValidateSettings

ABOVE_CHANCE = "above chance level"
"""The gate of a recipe that sets no `validate.min_top1`."""

NO_GAIN = "distill.on_no_gain"
"""The gate of a recipe with `distill.on_no_gain: fail`."""

_NEEDED = {
    "validate.min_top1": "at least",
    "validate.max_drop_from_teacher": "at most",
    ABOVE_CHANCE: "more than",
    NO_GAIN: "at least",
}


@dataclass(frozen=True)
class Gate:
    """One gate and how it went.

    Attributes:
        key: the recipe's key, or `ABOVE_CHANCE`.
        bound: what was asked.
        measured: what was found.
        passed: whether that is enough.
    """

    key: str
    bound: float
    measured: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def describe(self) -> str:
        """One line for people."""
        verdict = "passed" if self.passed else "FAILED"
        needed = f"{_NEEDED[self.key]} {self.bound:.4g}"
        if self.key == ABOVE_CHANCE:
            return (
                f"{self.key} {verdict}: the 95 % interval begins at {self.measured:.4f}, needed {needed}, the share of"
                " the commonest class"
            )
        if self.key == NO_GAIN:
            return f"{self.key} {verdict}: {self.measured:+.4f} against plain training, needed {needed}"
        return f"{self.key} {verdict}: {self.measured:.4f}, needed {needed}"


def judge_student(settings: "ValidateSettings", student_top1: float, teacher_top1: float | None) -> list[Gate]:
    """The gates of `validate`.

    Args:
        settings: the recipe's section.
        student_top1: the chosen student's accuracy on validation, in [0, 1].
        teacher_top1: the visual teacher's on the plain images; None where the recipe has no use of a teacher.
    """
    gates = []
    if settings.min_top1 is not None:
        gates.append(Gate("validate.min_top1", settings.min_top1, student_top1, student_top1 >= settings.min_top1))
    if settings.max_drop_from_teacher is not None and teacher_top1 is not None:
        drop = teacher_top1 - student_top1
        bound = settings.max_drop_from_teacher
        gates.append(Gate("validate.max_drop_from_teacher", bound, drop, drop <= bound))
    return gates


def judge_chance(settings: "ValidateSettings", student: Mapping[str, Any]) -> list[Gate]:
    """The gate that holds where the recipe sets no `min_top1`: the student must be better than a constant answer.

    A `min_top1` of any height stands in its place, so that 0 lets every student pass.

    Args:
        settings: the recipe's section.
        student: the chosen student's `score` on validation.
    """
    if settings.min_top1 is not None:
        return []
    low, chance = student["top1_interval"][0], student["chance"]
    return [Gate(ABOVE_CHANCE, chance, low, low > chance)]


def judge_gain(difference: float | None) -> list[Gate]:
    """The gate of `distill.on_no_gain: fail`: the distilled student is at least as accurate as plain training.

    Args:
        difference: its accuracy on validation less that of plain training, in [-1, 1]; None where nothing was compared.
    """
    return [] if difference is None else [Gate(NO_GAIN, 0.0, difference, difference >= 0)]
