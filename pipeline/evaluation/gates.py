"""The gates of a student: on the validation split before it is exported, and on its file before that is packed."""

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
    "validate.min_class_recall": "at least",
    "validate.max_ece": "at most",
    "validate.max_latency_ms": "at most",
    "validate.max_size_mb": "at most",
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
        of: what was measured, where the key does not say it, such as the class.
    """

    key: str
    bound: float
    measured: float
    passed: bool
    of: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {key: value for key, value in asdict(self).items() if key != "of" or value}

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
        of = f" ({self.of})" if self.of else ""
        return f"{self.key} {verdict}: {self.measured:.4f}{of}, needed {needed}"


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


def judge_classes(settings: "ValidateSettings", recalls: Mapping[str, float | None]) -> list[Gate]:
    """The gate `validate.min_class_recall`, for the class with the lowest accuracy.

    Args:
        settings: the recipe's section.
        recalls: class → the chosen student's accuracy on validation, None for a class without images.
    """
    known = [(share, name) for name, share in recalls.items() if share is not None]
    if settings.min_class_recall is None or not known:
        return []
    share, name = min(known)
    bound = settings.min_class_recall
    return [Gate("validate.min_class_recall", bound, share, share >= bound, name)]


def judge_calibration(settings: "ValidateSettings", ece: float | None) -> list[Gate]:
    """The gate `validate.max_ece`.

    Args:
        settings: the recipe's section.
        ece: the chosen student's calibration error on validation, in [0, 1]; None where its logits are not finite.
    """
    if settings.max_ece is None or ece is None:
        return []
    return [Gate("validate.max_ece", settings.max_ece, ece, ece <= settings.max_ece)]


def judge_file(settings: "ValidateSettings", size: int, latency_ms: float) -> list[Gate]:
    """The gates on the exported file.

    Args:
        settings: the recipe's section.
        size: of model.onnx, bytes.
        latency_ms: the median time of one image.
    """
    found = {"max_latency_ms": latency_ms, "max_size_mb": size / 1e6}
    bounds = {name: getattr(settings, name) for name in found}
    return [
        Gate(f"validate.{name}", bound, found[name], found[name] <= bound)
        for name, bound in bounds.items()
        if bound is not None
    ]


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
