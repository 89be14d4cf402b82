"""What students of several runs on one data set, as the arms of a comparison, say about the same test images."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.explain.evidence import (
    FEWEST,
    TEACHER,
    Evidence,
    affordable,
    ask_networks,
    multiplications_of,
    views_seen,
)
from pipeline.explain.sample import IMAGES, looked_at, sample, shown_of_arms
from pipeline.recipe.needs import needs_teacher
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.networks import read_classifier
from pipeline.stages.shared.race import decided_recipe
from pipeline.stages.shared.teachers import read_teacher

if TYPE_CHECKING:
    from pipeline.tmkd.teacher import MultiViewTeacher

_WHOLE_SHARE = 4
"""Networks that may each spend on the sample what a run's may; of more, each spends less, and sees fewer images."""


def gather_arms(contexts: Mapping[str, StageContext]) -> Evidence:
    """Ask the chosen student of each run, and the teacher of the run whose teacher sees the most views.

    Args:
        contexts: name → a run that was validated; all on the same data. Fingerprints are not used.

    Raises:
        UnavailableError: images or networks are not there any more.
    """
    from pipeline.training.device import make_fabric

    contexts = {name: _decided(context) for name, context in contexts.items()}
    first = next(iter(contexts.values()))
    data, fabric = read_data(first), make_fabric(first.recipe.device, "fp32")
    students = {
        name: read_classifier(context.run.folder("distill") / "chosen", context.recipe.student.classifier, "student")
        .eval()
        .requires_grad_(False)
        .to(fabric.device)
        for name, context in contexts.items()
    }
    source = _with_most_views(contexts)
    teacher: MultiViewTeacher | None = read_teacher(source, fabric) if needs_teacher(source.recipe) else None
    answers, labels = zip(*(_predictions(context) for context in contexts.values()), strict=True)
    chosen = looked_at(np.concatenate(answers), np.concatenate(labels), len(data.index.classes))
    networks = len(students) + (teacher is not None)
    work = multiplications_of(students, teacher, source, data, fabric.device) * max(1.0, networks / _WHOLE_SHARE)
    indices = sample(labels[0], chosen, max(FEWEST, affordable(work * views_seen(teacher), IMAGES)))
    titles = {name: name for name in students} | {TEACHER: "teacher"}
    return ask_networks(students, teacher, data, indices, labels[0], chosen, titles, fabric.device, shown_of_arms)


def _decided(context: StageContext) -> StageContext:
    """Under `auto` with the method that has trained the student."""
    return replace(context, recipe=decided_recipe(context.run, context.recipe))


def _with_most_views(contexts: Mapping[str, StageContext]) -> StageContext:
    """The run whose teacher sees the most views, under any method that has a teacher; else the first."""

    def views(context: StageContext) -> int:
        if not needs_teacher(context.recipe):
            return 0
        distill = context.recipe.distill
        return 1 + (len(distill.possible_views) if distill.uses_views else 0)

    return max(contexts.values(), key=views)


def _predictions(context: StageContext) -> tuple[np.ndarray, np.ndarray]:
    """Answers of the chosen student on test, and labels."""
    with np.load(context.run.folder("validate") / "predictions.npz") as predictions:
        return predictions["chosen.test"], predictions["labels.test"]
