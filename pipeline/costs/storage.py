"""Bytes that each stage leaves on the disk."""

from collections.abc import Mapping

from pipeline.costs.counts import Counts
from pipeline.costs.work import may_cache
from pipeline.distill.settings import AUTO
from pipeline.recipe.references import trains_baseline, trains_reference
from pipeline.recipe.schema.recipe import Recipe
from pipeline.training.settings import FitSettings

NUMBER = 4
"""Bytes of a parameter in fp32."""
ROW = 100
"""Bytes of an image in the data index, its path included."""


def bytes_of(
    recipe: Recipe, counts: Counts, parameters: Mapping[str, int], cache_row: int, seen_row: int = 0
) -> dict[str, int]:
    """The disk that each stage needs at most at a time, its checkpoints while it trains included.

    Args:
        recipe: the recipe.
        counts: of its images.
        parameters: network (`student`, `teacher`, `clip`) → numbers in it.
        cache_row: bytes of an image in one epoch of the teacher cache.
        seen_row: bytes of a whole training image that CLIP looks at once; 0 where it looks at crops.

    Returns:
        Stage → bytes; the cache counts for the stage that fills it.
    """
    student, teacher, clip = (NUMBER * parameters.get(name, 0) for name in ("student", "teacher", "clip"))
    # While the last checkpoint is written; the students that are written at the end are smaller than it.
    trained = _checkpoints(recipe, recipe.train) * student
    found = {"data": ROW * counts.images, "distill": trained, "export": student, "bundle": 2 * student}
    if trains_baseline(recipe):
        found["baseline"] = trained
    if trains_reference(recipe):
        found["reference"] = trained
    fit = recipe.teacher.visual.fit
    found["teacher"] = teacher * (1 if fit is None else _checkpoints(recipe, fit))
    text = recipe.teacher.text
    found["text"] = _checkpoints(recipe, text.fit) * clip if text.weights == "fit" else 0
    half = {"fp16": 0.5, "int8": 0.25}
    variants = sum(half.get(name.partition(".")[0], 1.0) for name in recipe.export.variants)
    found["export"] += round(variants * student)
    found["bundle"] += round(2 * variants * student)
    filled = recipe.distill.teacher_cache.passes  # the files have their whole size from the first image on
    if filled and may_cache(recipe):
        stage = "race" if recipe.distill.method == AUTO else "distill"
        found[stage] = found.get(stage, 0) + filled * counts.train * cache_row
    stage = "race" if recipe.distill.method == AUTO else "distill"
    found[stage] = found.get(stage, 0) + counts.train * seen_row
    return found


def _checkpoints(recipe: Recipe, fit: FitSettings) -> int:
    """How many times the network's numbers are in the checkpoints of its training, with the one that is being written.

    Each has the weights, the best ones so far, one or two numbers of the optimizer for each, and their averages.
    """
    numbers = (4 if fit.optimizer == "adamw" else 3) + (fit.ema is not None)
    return (recipe.train.checkpoint.keep + 1) * numbers
