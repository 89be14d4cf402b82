"""The teacher cache of a run: its folder, its key, and which of the teachers' outputs it keeps."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.distill.registry import METHODS, needs_stages
from pipeline.recipe.needs import has_views
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import code_digest, digest, libraries_digest
from pipeline.runner.stage import StageContext, settings
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from pipeline.data.augmentation import Augmentation
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.training.teacher_cache import CachedTeacher


def cached_teacher(
    context: StageContext, data: Data, teacher: "MultiViewTeacher", fabric: "Fabric", others: Sequence[Recipe] = ()
) -> "CachedTeacher | None":
    """The teacher with its cache; None where the recipe asks for none, or the method uses more than is kept.

    Runs with the same key may share the folder.

    Args:
        context: of the stage, with the recipe of the student that is trained.
        data: of the run.
        teacher: the teacher.
        fabric: device and precision.
        others: recipes of students that will be trained after this one under the same key; what they use is kept too,
            where this teacher sees all of their views, so that the teacher sees each image once for all of them.
    """
    from pipeline.training.teacher_cache import CachedTeacher, cache_size

    recipe = context.recipe
    epochs = recipe.distill.teacher_cache.passes
    if not epochs:
        return None
    if needs_stages(recipe.distill.method, recipe.distill.base):
        context.console.say("teacher cache: not used, because the feature maps of several stages would fill the disk")
        return None
    folder = _folder(context, fabric)
    if folder.is_dir():
        context.console.say(f"teacher cache: {cache_size(folder) / 1e6:.2f} MB are there from before")
    return CachedTeacher(
        teacher,
        folder,
        epochs,
        len(data.index.splits["train"]),
        _kept(context, teacher, others),
        recipe.distill.feature.pool,
    )


def student_augmentation(recipe: Recipe, data: Data) -> "Augmentation":
    """The augmentation of the student's images, in a cycle where there is a teacher cache.

    A cycle that seeds share follows the seed of the split, as the teachers do; initialisation and order follow `seed`.
    """
    return replace(data.augmentation(recipe, _augmentation_seed(recipe)), cycle=recipe.distill.teacher_cache.passes)


def _augmentation_seed(recipe: Recipe) -> int:
    return recipe.data.split_seed if recipe.distill.teacher_cache.is_shared else recipe.seed


def cache_bytes(
    recipes: Sequence[Recipe], images: int, views: int, classes: int, channels: int, text_width: int
) -> int:
    """Bytes on the disk of a cache that serves several recipes in all epochs of its cycle.

    Args:
        recipes: they agree in `distill.teacher_cache` and `distill.feature.pool`.
        images: training images.
        views: that the teacher sees, rgb among them.
        classes, channels: of the visual teacher, K and C.
        text_width: of CLIP's embeddings, D; 0 where its image tower is not used.
    """
    pool = recipes[0].distill.feature.pool
    widths = {"logits": classes, "pooled": channels, "feature_map": channels * pool**2}
    kept = {name for recipe in recipes if _is_served(recipe) for name in _used(recipe)}
    numbers = sum(widths[name] for name in kept) + (text_width if kept else 0)
    return 4 * images * views * numbers * recipes[0].distill.teacher_cache.passes


def discard_cache(context: StageContext) -> None:
    """Remove the cache of a recipe that no later training will use."""
    from pipeline.training.device import make_fabric

    recipe = context.recipe
    shutil.rmtree(_folder(context, make_fabric(recipe.device, recipe.train.precision)), ignore_errors=True)


def _folder(context: StageContext, fabric: "Fabric") -> Path:
    return context.run.cache / "teacher" / _key(context, fabric)


def _key(context: StageContext, fabric: "Fabric") -> str:
    """Digest of everything that determines the outputs on an augmented image, except the view."""
    from pipeline.training.device import computed_precision

    recipe = context.recipe
    parts = {
        "code": code_digest(["pipeline.training.teacher_cache", "pipeline.data.augmentation"]),
        "libraries": libraries_digest(TRAINING_LIBRARIES),
        "settings": settings(
            recipe,
            "data.augment",
            "distill.teacher_cache.passes",
            "teacher.visual.classifier",
            *IMAGE_KEYS,
        ),
        "augmentation_seed": _augmentation_seed(recipe),
        "device": fabric.device.type,
        "precision": computed_precision(fabric),  # `train.precision: auto` is bf16 on one card and fp16 on another
        "data": _outputs(context, "data"),
        "teacher": _outputs(context, "teacher"),
    }
    return digest(parts)[:16]


def _kept(context: StageContext, teacher: "MultiViewTeacher", others: Sequence[Recipe]) -> dict[str, str]:
    """Outputs that the methods and the view weighting use: name → name of its files."""
    recipe = context.recipe
    served = [other for other in others if _is_served(other) and (has_views(recipe) or not has_views(other))]
    used = {name for each in (recipe, *served) for name in _used(each)}
    files = {"logits": "logits", "pooled": "pooled", "feature_map": f"map{recipe.distill.feature.pool}"}
    kept = {name: file for name, file in files.items() if name in used}
    if teacher.has_image_tower:
        kept["embeddings"] = f"embedding-{digest(_outputs(context, 'text'))[:8]}"
    return kept


def _is_served(recipe: Recipe) -> bool:
    """Whether a cache keeps all that the method takes from a teacher."""
    distill = recipe.distill
    return METHODS[distill.method].needs_teacher and not needs_stages(distill.method, distill.base)


def _used(recipe: Recipe) -> set[str]:
    """Names of the visual teacher's outputs that a recipe's method uses."""
    entry = METHODS[recipe.distill.base if recipe.distill.method == "tmkd" else recipe.distill.method]
    used = {"logits"}
    if entry.needs_pooled:
        used.add("pooled")
    if entry.needs_feature_map or _adds_feature_loss(recipe):
        used.add("feature_map")
    return used


def _adds_feature_loss(recipe: Recipe) -> bool:
    """Whether `tmkd` adds the feature loss to a base that has none."""
    base = METHODS[recipe.distill.base]
    return recipe.distill.method == "tmkd" and "feature" not in base.losses and recipe.distill.losses.feature.weight > 0


def _outputs(context: StageContext, stage: str) -> dict[str, str]:
    record = context.run.record(stage)
    return record.outputs if record is not None else {}
