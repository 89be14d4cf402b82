"""From a recipe's `distill` to the method that computes its losses."""

from torch import Tensor

from exporters.core.errors import UsageError
from pipeline.distill.balance import LossBalance
from pipeline.distill.loss_settings import resolve_losses
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.methods.base import Method
from pipeline.distill.methods.tmkd import Tmkd
from pipeline.distill.registry import METHODS, load_method
from pipeline.distill.settings import DistillSettings
from pipeline.models.outputs import NetworkShape


def build_method(
    distill: DistillSettings,
    student: NetworkShape,
    teacher: NetworkShape | None,
    anchors: Tensor | None,
    label_smoothing: float = 0.0,
    training: TrainingSplit | None = None,
    class_weights: tuple[float, ...] | None = None,
) -> Method:
    """The method of a run, on the CPU; its parameters are initialised from torch's global generator.

    Args:
        distill: the recipe's `distill`.
        student: the student's shape.
        teacher: the visual teacher's, None for a method that needs none.
        anchors: `[K, D]` text embeddings of the classes (rgb prompts) for `tmkd`'s contrast, else None.
        label_smoothing: the recipe's `train.label_smoothing`.
        training: the training split, for methods that remember images.
        class_weights: of the cross-entropy; None: all alike.

    Raises:
        UsageError: an unknown method or base, nets or classes that it cannot work with, or no anchors for a contrast.
    """
    losses = resolve_losses(distill, label_smoothing, class_weights)
    if METHODS[distill.method].needs_teacher and teacher is not None and teacher.classes != student.classes:
        raise UsageError(
            f"teacher.visual: it has {teacher.classes} classes, the student {student.classes}",
            remedy="Fit the teacher to these classes (teacher.visual.fit), or give weights that have them.",
        )
    method: Method
    if distill.method == "tmkd":
        base = load_method(distill.base)(losses, student, teacher)
        method = Tmkd(losses, student, teacher, base=base, anchors=anchors)
    else:
        method = load_method(distill.method)(losses, student, teacher)
    if training is not None:
        method.prepare(training)
    if distill.balance == "auto" and METHODS[distill.method].needs_teacher:
        method.balance = LossBalance()
    return method
