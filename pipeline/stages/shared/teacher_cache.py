"""The teacher cache of a run: its folder, its key, and which of the teachers' outputs it keeps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.wording import byte_count
from pipeline.distill.registry import needs_stages
from pipeline.recipe.needs import has_views, looks_at_whole_images
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import code_digest, digest, libraries_digest
from pipeline.runner.stage import StageContext, settings
from pipeline.stages.shared.cache_size import (
    SIZE_KEYS,
    cache_bytes,
    is_served,
    kept_outputs,
    require_allowed,
    require_cache_room,
    seen_bytes,
)
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data
from pipeline.stages.shared.teacher_runtime import visual_identity
from pipeline.stages.shared.teachers import text_width
from pipeline.tmkd.cache_folders import CacheFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from pipeline.data.augmentation import Augmentation
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.training.teacher_cache import CachedTeacher


@contextmanager
def cached_teacher(
    context: StageContext,
    data: Data,
    teacher: "MultiViewTeacher | None",
    fabric: "Fabric",
    others: Sequence[Recipe] = (),
) -> "Iterator[CachedTeacher | None]":
    """The teacher with its cache, for a training; None where the recipe asks for none, or there is no teacher.

    Runs with the same key may share the folder, at the same time too; it cannot be removed meanwhile.

    Args:
        context: of the stage, with the recipe of the student that is trained.
        data: of the run.
        teacher: the teacher.
        fabric: device and precision.
        others: recipes of students that will be trained after this one under the same key; what they use is kept too,
            where this teacher sees all of their views, so that the teacher sees each image once for all of them.

    Raises:
        UsageError: it would take more than `distill.teacher_cache.max_gb`.
        UnavailableError: it would take more than the disk has.
    """
    recipe, console = context.recipe, context.console
    cache = recipe.distill.teacher_cache
    if not cache.passes or teacher is None:
        yield None
        return
    if not is_served(recipe):
        console.say(
            "teacher cache: not used, because the feature maps of several stages would fill the disk"
            " (distill.teacher_cache.stages: true keeps them)"
        )
        yield None
        return
    from pipeline.training.teacher_cache import CachedTeacher

    folder = CacheFolder(_path(context, fabric))
    kept = _kept(context, teacher, others)
    images = len(data.index.splits["train"])
    width = text_width(context) if "embeddings" in kept else 0
    needed = cache_bytes(recipe, kept, images, len(teacher.views), teacher.visual.shape, width)
    with folder.in_use():
        there = folder.bytes if folder.path.is_dir() else 0
        before = f"; {byte_count(there)} are there from before" if there else ""
        console.say(
            f"teacher cache: {byte_count(needed)} on the disk once it is full: {', '.join(kept)} of {images:,} images"
            f" in {len(teacher.views)} views and {cache.passes} epochs, as {cache.storage}{before}"
        )
        require_allowed(cache, needed, _whole_image_bytes(context, teacher, images))
        require_cache_room(needed - there, context.run.path)
        folder.open(_about(context, data, fabric), context.run.path)
        cached = CachedTeacher(
            teacher, folder.path, cache.passes, images, kept, recipe.distill.feature.pool, cache.storage
        )
        try:
            yield cached
        finally:
            cached.commit()
        if cached.largest_error:
            console.say(
                f"teacher cache: numbers were rounded to {cache.storage} with an error of at most"
                f" {100 * cached.largest_error:.3f} % of the largest of each output"
            )


def student_augmentation(recipe: Recipe, data: Data) -> "Augmentation":
    """The augmentation of the student's images, in a cycle where there is a teacher cache.

    A cycle that seeds share follows the seed of the split, as the teachers do; initialisation and order follow `seed`.
    """
    return replace(data.augmentation(recipe, _augmentation_seed(recipe)), cycle=recipe.distill.teacher_cache.passes)


def _augmentation_seed(recipe: Recipe) -> int:
    return recipe.data.split_seed if recipe.distill.teacher_cache.is_shared else recipe.seed


def discard_cache(context: StageContext) -> None:
    """Remove the cache of a recipe that no later training will use, unless another run is using it."""
    from pipeline.training.device import make_fabric

    recipe = context.recipe
    folder = CacheFolder(_path(context, make_fabric(recipe.device, recipe.train.precision)))
    if folder.path.is_dir() and not folder.is_in_use:
        folder.remove()


def _whole_image_bytes(context: StageContext, teacher: "MultiViewTeacher", images: int) -> int:
    """Bytes of what CLIP says of whole images, which is kept beside the cache; 0 where it looks at none."""
    if not looks_at_whole_images(context.recipe):
        return 0
    return seen_bytes(context.recipe, images, len(teacher.views), text_width(context))


def _path(context: StageContext, fabric: "Fabric") -> Path:
    return context.run.cache / "teacher" / _key(context, fabric)


def _key(context: StageContext, fabric: "Fabric") -> str:
    """Digest of everything that determines the outputs on an augmented image, except the view."""
    from pipeline.training.device import computed_precision

    recipe = context.recipe
    parts = {
        "code": code_digest(["pipeline.training.teacher_cache", "pipeline.data.augmentation"]),
        "libraries": libraries_digest(TRAINING_LIBRARIES),
        "settings": settings(
            recipe, "data.augment", "data.decode", *SIZE_KEYS, "teacher.visual.classifier", *IMAGE_KEYS
        ),
        "augmentation_seed": _augmentation_seed(recipe),
        "device": fabric.device.type,
        "runtime": visual_identity(context, fabric),  # decided before: the teacher is read before its cache
        "precision": computed_precision(fabric),  # `train.precision: auto` is bf16 on one card and fp16 on another
        "data": _outputs(context, "data"),
        "teacher": _outputs(context, "teacher"),
    }
    return digest(parts)[:16]


def _about(context: StageContext, data: Data, fabric: "Fabric") -> dict[str, Any]:
    """What the cache is made from, for people."""
    from pipeline.training.device import computed_precision

    recipe = context.recipe
    cache = recipe.distill.teacher_cache
    return {
        "data": recipe.data.dataset,
        "images": len(data.index.splits["train"]),
        "epochs": cache.passes,
        "teacher": recipe.teacher.visual.model,
        "image_size": recipe.data.image_size,
        "augmentation_seed": _augmentation_seed(recipe),
        "storage": cache.storage,
        "device": fabric.device.type,
        "precision": computed_precision(fabric),
    }


def _kept(context: StageContext, teacher: "MultiViewTeacher", others: Sequence[Recipe]) -> dict[str, str]:
    """Outputs that the methods and the view weighting use: name → name of its files."""
    recipe = context.recipe
    served = [
        other
        for other in others
        if is_served(other)
        and not needs_stages(other.distill.method, other.distill.base)
        and (has_views(recipe) or not has_views(other))
    ]
    kept = kept_outputs((recipe, *served), teacher.visual.shape)
    if teacher.has_image_tower:
        made = {**_outputs(context, "text"), "runtime": teacher.tower_identity}
        kept["embeddings"] = f"embedding-{digest(made)[:8]}"
    return kept


def _outputs(context: StageContext, stage: str) -> dict[str, str]:
    record = context.run.record(stage)
    return record.outputs if record is not None else {}
