"""Stage `distill`: the student is trained."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.core.files import atomic_directory, read_json, write_json
from pipeline.recipe.references import falls_back
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.history import chosen_score
from pipeline.stages.shared.student_training import (
    STUDENT_LIBRARIES,
    student_files,
    student_modules,
    student_parameters,
    student_upstream,
    train_student,
)

NOT_SHIPPED = "distilled"
"""Below the stage's folder: the distilled student, where the plain one ships in its place."""


class DistillStage(Stage):
    """Writes the students `chosen/` and `final/`, and `distill/history.json`.

    `chosen/` is what ships. Under `distill.on_no_gain: fall_back` that is the plain student where it is more accurate
    on validation; the distilled one is then in `distilled/`.
    """

    name = "distill"
    libraries = STUDENT_LIBRARIES

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index and teachers, as far as the method uses them, and the plain student where it may ship."""
        return (*student_upstream(recipe), *(("baseline",) if falls_back(recipe) else ()))

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Everything about the student, its method and its schedule, and whether the plain student may ship."""
        choice = settings(recipe, "distill.on_no_gain") if falls_back(recipe) else {}
        return {**student_parameters(recipe), **choice}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The student's first weights, the anchors and how their classes are called, as far as they are files."""
        return student_files(recipe)

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """The chosen method, which is found by name."""
        return student_modules(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Train the student, save what was chosen and what came last; let the plain student ship if need be."""
        folder = self.folder(context)
        summary = train_student(context, self.name, folder)
        if falls_back(context.recipe):
            summary["ships"] = choose_student(context, folder, context.run.folder("baseline"))
        return summary


def choose_student(context: StageContext, folder: Path, plain: Path) -> str:
    """Put the student that is more accurate on validation where what ships is; of equals the distilled one.

    Args:
        context: of the stage.
        folder: where the distilled student is.
        plain: where the plain one is.

    Returns:
        `distilled` or `plain`; `history.json` says so too, and why.
    """
    distilled_history, plain_history = read_json(folder / "history.json"), read_json(plain / "history.json")
    ours, theirs = (chosen_score(history) for history in (distilled_history, plain_history))
    figures = f"on validation it reached {100 * ours:.2f} %, plain training {100 * theirs:.2f} %"
    if ours >= theirs:
        why = f"the distilled student ships: {figures}"
        write_json(folder / "history.json", distilled_history | {"ships": "distilled", "why": why})
        context.console.say(why)
        return "distilled"
    why = f"trained from labels alone, because the distilled student was worse: {figures}"
    with atomic_directory(folder / NOT_SHIPPED) as kept:
        for which in ("chosen", "final"):
            shutil.copytree(folder / which, kept / which)
        write_json(kept / "history.json", distilled_history)
    for which in ("chosen", "final"):
        with atomic_directory(folder / which) as target:
            shutil.copytree(plain / which, target, dirs_exist_ok=True)
    write_json(folder / "history.json", plain_history | {"ships": "plain", "why": why})
    context.console.warn(
        f"the plain student ships, {why} (distill.on_no_gain: fall_back); the distilled one is in"
        f" {folder / NOT_SHIPPED}"
    )
    return "plain"
