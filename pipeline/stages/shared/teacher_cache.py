"""The teacher cache of a run: its folder, its key, and which of the teachers' outputs it keeps."""

from typing import TYPE_CHECKING

from pipeline.distill.registry import METHODS, needs_stages
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import code_digest, digest, libraries_digest
from pipeline.runner.stage import StageContext, settings
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.training.teacher_cache import CachedTeacher


def cached_teacher(
    context: StageContext, data: Data, teacher: "MultiViewTeacher", fabric: "Fabric"
) -> "CachedTeacher | None":
    """The teacher with its cache; None where the recipe asks for none, or the method uses more than is kept.

    Runs with the same key may share the folder.
    """
    from pipeline.training.teacher_cache import CachedTeacher, cache_size

    recipe = context.recipe
    epochs = recipe.distill.teacher_cache.passes
    if not epochs:
        return None
    if needs_stages(recipe.distill.method, recipe.distill.base):
        context.console.say("teacher cache: not used, because the feature maps of several stages would fill the disk")
        return None
    folder = context.run.cache / "teacher" / _key(context, fabric)
    if folder.is_dir():
        context.console.say(f"teacher cache: {cache_size(folder) / 1e6:.0f} MB are there from an earlier run")
    return CachedTeacher(
        teacher,
        folder,
        epochs,
        len(data.index.splits["train"]),
        _kept(context, teacher),
        recipe.distill.feature.pool,
    )


def _key(context: StageContext, fabric: "Fabric") -> str:
    """Digest of everything that determines the outputs on an augmented image, except the view."""
    from pipeline.training.device import computed_precision

    recipe = context.recipe
    parts = {
        "code": code_digest(["pipeline.training.teacher_cache", "pipeline.data.augmentation"]),
        "libraries": libraries_digest(TRAINING_LIBRARIES),
        "settings": settings(
            recipe,
            "seed",
            "data.augment",
            "distill.teacher_cache",
            "teacher.visual.classifier",
            *IMAGE_KEYS,
        ),
        "device": fabric.device.type,
        "precision": computed_precision(fabric),  # `train.precision: auto` is bf16 on one card and fp16 on another
        "data": _outputs(context, "data"),
        "teacher": _outputs(context, "teacher"),
    }
    return digest(parts)[:16]


def _kept(context: StageContext, teacher: "MultiViewTeacher") -> dict[str, str]:
    """Outputs that the method and the view weighting use: name → name of its files."""
    recipe = context.recipe
    entry = METHODS[recipe.distill.base if recipe.distill.method == "tmkd" else recipe.distill.method]
    kept = {"logits": "logits"}
    if entry.needs_pooled:
        kept["pooled"] = "pooled"
    if entry.needs_feature_map or _adds_feature_loss(recipe):
        kept["feature_map"] = f"map{recipe.distill.feature.pool}"
    if teacher.has_image_tower:
        kept["embeddings"] = f"embedding-{digest(_outputs(context, 'text'))[:8]}"
    return kept


def _adds_feature_loss(recipe: Recipe) -> bool:
    """Whether `tmkd` adds the feature loss to a base that has none."""
    base = METHODS[recipe.distill.base]
    return recipe.distill.method == "tmkd" and "feature" not in base.losses and recipe.distill.losses.feature.weight > 0


def _outputs(context: StageContext, stage: str) -> dict[str, str]:
    record = context.run.record(stage)
    return record.outputs if record is not None else {}
