"""Stage `reference`: the base of TMKD by itself, with the same losses on rgb alone, to see what TMKD adds to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.recipe.references import base_name, base_recipe, trains_reference
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext
from pipeline.stages.shared.student_training import (
    STUDENT_LIBRARIES,
    student_files,
    student_modules,
    student_parameters,
    train_student,
)


class ReferenceStage(Stage):
    """Writes the students `chosen/` and `final/` of the base, and `reference/history.json`."""

    name = "reference"
    libraries = STUDENT_LIBRARIES

    def skipped(self, recipe: Recipe) -> str | None:
        """Only TMKD plugs into a base, and only where the recipe asks is the base trained too."""
        return None if trains_reference(recipe) else "distill.reference asks for no second student"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index and visual teacher. It comes after `distill`, whose teacher cache it finds."""
        return ("data", "teacher")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Those of the base."""
        return student_parameters(base_recipe(recipe))

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The student's first weights, where they are a file."""
        return student_files(base_recipe(recipe))

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """Those of the base and of TMKD, which adds losses to it."""
        return student_modules(base_recipe(recipe))

    def run(self, context: StageContext) -> dict[str, Any]:
        """Train the base's student."""
        base = base_recipe(context.recipe)
        context.console.say(f"base {base_name(base)}: the same losses on rgb alone, without contrast")
        return train_student(replace(context, recipe=base), self.name, self.folder(context))
