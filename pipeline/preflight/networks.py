"""The networks: whether they exist, take images of the size, have weights, and suit the method."""

from typing import TYPE_CHECKING

from pipeline.distill.race.refusals import workable_candidates
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import DistillSettings
from pipeline.preflight.base import Report, Subject

if TYPE_CHECKING:
    from pipeline.distill.methods.base import Method


def check_student(subject: Subject, report: Report) -> None:
    """Build the student.

    Raises:
        UsageError, UnavailableError: as `pipeline.stages.shared.networks.build_student`.
    """
    subject.student()


def check_teacher(subject: Subject, report: Report) -> None:
    """Build the visual teacher.

    Raises:
        UsageError, UnavailableError: as `pipeline.stages.shared.networks.build_visual_teacher`.
    """
    subject.teacher()


def check_text_tower(subject: Subject, report: Report) -> None:
    """Build the tower of the text teacher, where that is a network of its own.

    Raises:
        UsageError, UnavailableError: as `pipeline.stages.shared.text_tower.build_text_tower`.
    """
    if subject.recipe.teacher.text.tower is not None:
        subject.text_tower()


def check_method(subject: Subject, report: Report) -> None:
    """Let the method refuse nets that it cannot work with, such as those without class activation maps.

    Raises:
        UsageError: as `make_methods`.
    """
    make_methods(subject)


def make_methods(subject: Subject) -> "list[tuple[DistillSettings, Method]]":
    """The method, or under `auto` every candidate that the networks allow, for the untrained student; with random
    anchors where it asks for some.

    Raises:
        UsageError, UnavailableError: a network cannot be had, or the method cannot work with them; under `auto`, one
            that the recipe names, or each that learns from a teacher.
    """
    made: list[tuple[DistillSettings, Method]] = []
    workable_candidates(subject.recipe.distill, lambda distill: made.append((distill, _make_method(subject, distill))))
    return made


def _make_method(subject: Subject, distill: DistillSettings) -> "Method":
    import torch

    from pipeline.distill.build import build_method
    from pipeline.distill.memory import TrainingSplit

    recipe, classes = subject.recipe, len(subject.classes)
    teacher = subject.teacher().shape if METHODS[distill.method].needs_teacher else None
    student = subject.student().tapped.shape
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return build_method(
            distill,
            student,
            teacher,
            torch.randn(classes, 8),
            recipe.train.label_smoothing,
            TrainingSplit(subject.labels, recipe.seed),
        )
