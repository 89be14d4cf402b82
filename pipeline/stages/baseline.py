"""Stage `baseline`: the same student from labels alone, which teacher and distilled student are held against."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from exporters.core.errors import GateError
from pipeline.recipe.references import plain_recipe, trains_baseline
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext
from pipeline.stages.shared.student_training import (
    STUDENT_LIBRARIES,
    student_files,
    student_modules,
    student_parameters,
    student_upstream,
    train_student,
)


class BaselineStage(Stage):
    """Writes the plain students `chosen/` and `final/`, and `baseline/history.json`."""

    name = "baseline"
    libraries = STUDENT_LIBRARIES

    def skipped(self, recipe: Recipe) -> str | None:
        """Plain training is its own baseline, and a recipe may give the accuracy, or do without."""
        if trains_baseline(recipe):
            return None
        if recipe.distill.method == "ce":
            return "distill.method ce is plain training itself"
        return "student.baseline asks for no plain student"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The index."""
        return student_upstream(plain_recipe(recipe))

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Those of plain training, its schedule shortened where the baseline is."""
        return student_parameters(plain_recipe(recipe))

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The student's first weights, where they are a file."""
        return student_files(plain_recipe(recipe))

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """That of cross-entropy."""
        return student_modules(plain_recipe(recipe))

    def run(self, context: StageContext) -> dict[str, Any]:
        """Train the plain student.

        Raises:
            GateError: its training diverged.
        """
        plain = plain_recipe(context.recipe)
        context.console.say(
            f"plain training, from labels alone, for {plain.train.epochs} of {context.recipe.train.epochs} epochs"
        )
        try:
            return train_student(replace(context, recipe=plain), self.name, self.folder(context))
        except GateError as error:
            error.message = f"plain training: {error.message}"
            error.remedy = f"{error.remedy} student.baseline=null goes without it."
            raise
