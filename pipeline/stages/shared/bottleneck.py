"""One sentence on where the time of a training went, and the key that would help."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporters.core.wording import count_of
from pipeline.data.checking import available_processors
from pipeline.distill.registry import METHODS, needs_stages
from pipeline.distributed.ranks import this_rank
from pipeline.recipe.schema.recipe import Recipe

_TEACHER = ("views", "teacher", "clip")
_SHARES: dict[str, tuple[str, ...]] = {
    "compiling": ("compile",),
    "waiting for images": ("data",),
    "the teacher": _TEACHER,
    "reading and writing the teacher cache": ("cache",),
    "the student's own forward and backward passes": ("forward", "backward"),
    "the optimizer": ("optimizer",),
    "the accuracy on validation images": ("evaluation",),
    "checkpoints": ("checkpoint",),
    "other work": ("other",),
}
"""What is named → parts of the time, of `pipeline.training.meters.PARTS`."""

_CYCLE = 6
"""Epochs of a teacher cache that are proposed, at most half of the training's."""

_SELDOM = 10
"""Minutes between checkpoints, from which on a larger number is not proposed."""


def describe_bottleneck(
    recipe: Recipe, history: Sequence[Mapping[str, Any]], device: str, workers: int, fits: bool
) -> str:
    """What took most of a student's training, and the key that helps where there is one.

    Args:
        recipe: of the training.
        history: its epochs, each with the seconds of its `parts` under `time`.
        device: type of the device.
        workers: processes that made the images.
        fits: whether the decoded images fit into memory, where they are kept if there are no such processes.

    Returns:
        Such as "61 % of the time went into the teacher (clip 30, teacher 26, views 5): distill.teacher_cache.passes: 6
        would compute it in 6 epochs of 240".
    """
    seconds: dict[str, float] = {}
    for row in history:
        for part, spent in row["time"]["parts"].items():
            seconds[part] = seconds.get(part, 0.0) + spent
    total = max(sum(seconds.values()), 1e-9)
    shares = {name: sum(seconds.get(part, 0.0) for part in parts) / total for name, parts in _SHARES.items()}
    name = max(shares, key=lambda each: shares[each])
    told = sorted((part for part in _SHARES[name] if part in seconds), key=lambda part: -seconds[part])
    divided = ", ".join(f"{part} {100 * seconds[part] / total:.0f}" for part in told) if len(told) > 1 else ""
    sentence = f"{100 * shares[name]:.0f} % of the time went into {name}" + (f" ({divided})" if divided else "")
    remedy = _remedy(name, recipe, told, device, workers, fits)
    return f"{sentence}: {remedy}" if remedy else sentence


def _remedy(name: str, recipe: Recipe, parts: Sequence[str], device: str, workers: int, fits: bool) -> str:
    """The key that helps; `parts` of what is named, the largest first."""
    if name == "waiting for images":
        processors = max(1, available_processors() // this_rank().local_count)
        if workers and fits:
            return "data.workers: auto would keep them decoded in memory"
        if (not fits and workers < processors) or (not workers and device != "cpu"):
            return f"data.workers: {processors} would make them in {processors} processes beside the training"
        return "data.decode: gpu decodes JPEG files there" if device == "cuda" and recipe.data.decode == "cpu" else ""
    if name == "the teacher":
        found = (_cache_remedy(recipe), _seen_remedy(recipe, parts))
        return "; ".join(filter(None, found)) or _precision_remedy(recipe, device)
    if name.startswith("the student's"):
        return _precision_remedy(recipe, device)
    if name == "compiling":
        return "train.compile: false trains without it"
    if name == "the optimizer":
        return "a larger train.batch_size has fewer steps"
    if name == "checkpoints":
        minutes = recipe.train.checkpoint.every_minutes
        is_often = minutes is not None and minutes < _SELDOM  # else what takes the time is the one after each epoch
        return "a larger train.checkpoint.every_minutes writes fewer of them" if is_often else ""
    if name.startswith("the accuracy"):
        return "a smaller data.validation has fewer of them, unless the data bring a validation split"
    return ""


def _cache_remedy(recipe: Recipe) -> str:
    distill, epochs = recipe.distill, recipe.train.epochs
    proposed = min(_CYCLE, epochs // 2)
    if not METHODS[distill.method].needs_teacher:
        return ""
    if not proposed or 0 < distill.teacher_cache.passes <= proposed:
        return ""
    with_stages = ""
    if needs_stages(distill.method, distill.base) and not distill.teacher_cache.stages:
        with_stages = " with distill.teacher_cache.stages: true"
    return (
        f"distill.teacher_cache.passes: {proposed}{with_stages} would compute it in {count_of(proposed, 'epoch')} of"
        f" {epochs}, whose images then come again"
    )


def _seen_remedy(recipe: Recipe, parts: Sequence[str]) -> str:
    """Where CLIP costs most, and looks at every crop."""
    if parts[0] != "clip" or recipe.distill.weighting.seen == "image":
        return ""
    return "distill.weighting.seen: image lets CLIP look at each image once"


def _precision_remedy(recipe: Recipe, device: str) -> str:
    return "train.precision: auto is faster on a GPU" if device == "cuda" and recipe.train.precision == "fp32" else ""
