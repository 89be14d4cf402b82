"""What CLIP says of whole training images, in a run: the folder, its key, and who looks at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exporters.core.wording import byte_count
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import code_digest, digest, libraries_digest
from pipeline.runner.stage import StageContext, settings
from pipeline.stages.shared.cache_size import own_cache_bytes, require_allowed, require_seen_room, seen_bytes
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data
from pipeline.stages.shared.teachers import text_width
from pipeline.tmkd.cache_folders import CacheFolder

if TYPE_CHECKING:
    import torch

    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.whole_images import WholeImages


@contextmanager
def whole_images(
    context: StageContext, data: Data, teacher: "MultiViewTeacher | None", device: "torch.device"
) -> "Iterator[WholeImages | None]":
    """The embeddings of whole training images, in the run's cache; None where the weights of the views need none.

    They are computed in fp32 whatever the training is computed in, once for all its epochs, and so serve every stage.

    Args:
        context: of the stage.
        data: of the run.
        teacher: with CLIP's image tower, on the device.
        device: of the teacher.

    Raises:
        UnavailableError: they would take more than the disk has.
    """
    recipe = context.recipe
    if teacher is None or not teacher.has_image_tower or recipe.distill.weighting.seen != "image":
        yield None
        return
    from pipeline.tmkd.whole_images import WholeImages

    folder = CacheFolder(context.run.cache / "seen" / _key(context, teacher, device))
    images, storage = len(data.index.splits["train"]), recipe.distill.teacher_cache.storage
    with folder.in_use():
        there = folder.bytes if folder.path.is_dir() else 0
        require_seen_room(seen_bytes(recipe, images, len(teacher.views), text_width(context)) - there, context.run.path)
        folder.open(_about(recipe, data, device), context.run.path)
        views, keep_step = teacher.views.identities, teacher.keep_embed_step
        yield WholeImages(folder.path, images, views, teacher.embed, device, storage, keep_step)


@contextmanager
def weighed_by_whole_images(
    context: StageContext, data: Data, teacher: "MultiViewTeacher | None", device: "torch.device"
) -> "Iterator[MultiViewTeacher | None]":
    """The teacher for a training: where weights follow from whole images, CLIP has looked at all of them, and looks at
    no crop. Arguments as of `whole_images`.

    Raises:
        UsageError: with the teacher cache, it would take more than `distill.teacher_cache.max_gb`.
        UnavailableError: as `whole_images`.
    """
    import numpy as np

    from pipeline.data.loading import EVALUATION_BATCH
    from pipeline.distributed.collectives import from_leader, of_all, this_part
    from pipeline.training.step import images_to_device

    with whole_images(context, data, teacher, device) as seen:
        if seen is None or teacher is None:
            yield teacher
            return
        recipe, images = context.recipe, np.arange(len(data.index.splits["train"]))
        size = seen_bytes(recipe, len(images), len(teacher.views), text_width(context))
        own = own_cache_bytes(recipe, len(images), len(teacher.views), teacher.visual.shape)
        require_allowed(recipe.distill.teacher_cache, own, size)
        if missing := from_leader(int(seen.missing(images).sum())):
            context.console.say(
                f"CLIP looks once at {missing:,} whole images, in {len(teacher.views)} views; what it says of"
                f" {len(images):,} takes {byte_count(size)} on the disk"
            )
            at_once = max(1, EVALUATION_BATCH // len(teacher.views))
            batches = data.loader.evaluation_batches("train", data.geometry, at_once, part=this_part())
            for batch in teacher.in_step(batches, looks=False, embeds=True):
                seen.look(images_to_device(batch.images, device), batch.indices)
            of_all(None)  # each process will read what the others have written
        yield teacher.seeing(seen)


def _key(context: StageContext, teacher: "MultiViewTeacher", device: "torch.device") -> str:
    """Digest of everything that determines the embeddings, except the view."""
    records = {stage: context.run.record(stage) for stage in ("data", "teacher", "text")}
    parts = {
        "code": code_digest(["pipeline.stages.shared.whole_images", "pipeline.tmkd.whole_images"]),
        "libraries": libraries_digest((*TRAINING_LIBRARIES, "open_clip_torch")),
        "settings": settings(context.recipe, "distill.teacher_cache.storage", *IMAGE_KEYS),
        "device": device.type,
        "runtime": teacher.tower_identity,
        **{stage: {} if record is None else record.outputs for stage, record in records.items()},
    }
    return digest(parts)[:16]


def _about(recipe: Recipe, data: Data, device: "torch.device") -> dict[str, Any]:
    """What the embeddings are made from, for people."""
    return {
        "data": recipe.data.dataset,
        "images": len(data.index.splits["train"]),
        "teacher": recipe.teacher.text.model,
        "image_size": recipe.data.image_size,
        "storage": recipe.distill.teacher_cache.storage,
        "device": device.type,
        "precision": "fp32",
    }
