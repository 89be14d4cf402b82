"""The gates that a student must pass on the validation split before anything is exported."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.recipe.schema import ValidateSettings


@dataclass(frozen=True)
class Gate:
    """One gate and how it went.

    Attributes:
        key: the recipe's key.
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
        sign = "≥" if self.key.endswith("min_top1") else "≤"
        verdict = "passed" if self.passed else "FAILED"
        return f"{self.key}: {self.measured:.4f} {sign} {self.bound:g} {verdict}"


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
