"""Stage `fusion`: what the teacher knows before anything is distilled, view by view and fused."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exporters.core.errors import GateError
from exporters.core.files import write_json
from pipeline.data.listing import SPLITS
from pipeline.recipe.needs import has_views, needs_teacher, weighs_by_text
from pipeline.recipe.references import baseline_epochs, trains_baseline
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.history import chosen_score
from pipeline.stages.shared.inputs import (
    IMAGE_KEYS,
    TRAINING_LIBRARIES,
    read_data,
    read_json_output,
    read_teacher,
)

if TYPE_CHECKING:
    from pipeline.evaluation.teacher import PlainAccuracy

TRAIN_SAMPLE = 1000
"""Training images on which the teacher is measured, at most: enough to see whether fusion helps."""


class FusionStage(Stage):
    """Writes `fusion/accuracy.json`: split → accuracy per view, fused without labels, and fused with them."""

    name = "fusion"
    libraries = (*TRAINING_LIBRARIES, "open_clip_torch", "safetensors")

    def skipped(self, recipe: Recipe) -> str | None:
        """Without a teacher there is nothing to measure."""
        return None if needs_teacher(recipe) else f"distill.method {recipe.distill.method} learns from labels alone"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index, visual teacher and plain student, and the text teacher where it weighs the views."""
        text = ("text",) if weighs_by_text(recipe) else ()
        return ("data", "baseline", "teacher", *text)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """The views and their weights, where the method uses them: methods on the image alone share one measurement."""
        views = ("distill.views", "distill.weighting") if has_views(recipe) else ()
        return settings(recipe, *views, "teacher.on_weak", "student.baseline", *IMAGE_KEYS)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Measure on a sample of training, on validation and on test, show the first two, and judge.

        Raises:
            GateError: the teacher is weak and the recipe says to fail; the figures are written all the same.
        """
        from pipeline.evaluation.teacher import against_plain, measure_teacher, teacher_weaknesses
        from pipeline.training.device import describe_device, make_fabric

        recipe, data, folder = context.recipe, read_data(context), self.folder(context)
        fabric = make_fabric(recipe.device, "fp32")
        teacher = read_teacher(context, fabric)
        measured: dict[str, Any] = {}
        for split in SPLITS:
            limit = TRAIN_SAMPLE if split == "train" else None
            batches = data.loader.evaluation_batches(split, data.geometry, limit=limit)
            measured[split] = measure_teacher(teacher, batches, fabric.device)
        write_json(folder / "accuracy.json", measured)
        validation = measured["validation"]
        plain = plain_accuracy(context, validation["images"])
        weaknesses = teacher_weaknesses(validation, plain)
        show_teacher(context, measured, weaknesses)
        if plain is not None:
            context.console.say(against_plain(validation, plain))
        if weaknesses and recipe.teacher.on_weak == "fail":
            raise GateError(
                f"the teacher is weak: {' '.join(weaknesses)}",
                remedy="Change distill.views or distill.weighting, take a stronger teacher, or go on with"
                " teacher.on_weak=warn.",
            )
        return {key: validation[key] for key in ("fused", "oracle")} | {"device": describe_device(fabric)}


def plain_accuracy(context: StageContext, images: int) -> "PlainAccuracy | None":
    """The plain student's accuracy on the validation images: of the stage `baseline`, or as the recipe gives it."""
    from pipeline.evaluation.teacher import PlainAccuracy

    recipe = context.recipe
    if trains_baseline(recipe):
        score = chosen_score(read_json_output(context, "baseline", "history.json"))
        return PlainAccuracy(score, images, f"{baseline_epochs(recipe)} of {recipe.train.epochs} epochs")
    given = recipe.student.baseline
    return PlainAccuracy(given) if isinstance(given, int | float) else None


def show_teacher(context: StageContext, measured: Mapping[str, Any], weaknesses: Sequence[str]) -> None:
    """The teacher's accuracy on training and validation as a table, and what speaks for or against it."""
    from pipeline.evaluation.teacher import fusion_verdict

    names = sorted(measured["validation"]["views"], key="rgb".__ne__)
    columns = ["top-1 of the teacher, %", *names, "fused", "oracle", "images"]
    rows = [
        [
            split,
            *(f"{100 * values['views'][name]:.2f}" for name in names),
            *(f"{100 * values[name]:.2f}" for name in ("fused", "oracle")),
            f"{values['images']:,}",
        ]
        for split, values in measured.items()
        if split != "test"
    ]
    title = "Teacher accuracy before distillation (fused: weights without labels; oracle: with them)"
    context.console.table(title, columns, rows)
    verdict = fusion_verdict(measured["validation"])
    if verdict not in weaknesses:
        context.console.say(verdict)
    for weakness in weaknesses:
        context.console.warn(weakness)
