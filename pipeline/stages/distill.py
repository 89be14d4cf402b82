"""Stage `distill`: the student is trained."""

from collections.abc import Mapping
from typing import Any

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


class DistillStage(Stage):
    """Writes the students `chosen/` and `final/`, and `distill/history.json`."""

    name = "distill"
    libraries = STUDENT_LIBRARIES

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index and teachers, as far as the method uses them."""
        return student_upstream(recipe)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Everything about the student, its method and its schedule."""
        return student_parameters(recipe)

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The student's first weights, the anchors and how their classes are called, as far as they are files."""
        return student_files(recipe)

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """The chosen method, which is found by name."""
        return student_modules(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Train the student, save what was chosen and what came last."""
        return train_student(context, self.name, self.folder(context))
