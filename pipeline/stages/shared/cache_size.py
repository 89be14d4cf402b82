"""What a teacher cache keeps of the teachers' outputs, and how much that is; known before anything is trained."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from exporters.core.errors import UnavailableError
from exporters.core.wording import byte_count
from pipeline.distill.registry import METHODS, needs_stages
from pipeline.distill.settings import TeacherCacheSettings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.tmkd.cache_columns import STAGE

if TYPE_CHECKING:
    from pipeline.models.outputs import NetworkShape

SIZE_KEYS = ("distill.teacher_cache.passes", "distill.teacher_cache.storage")
"""Settings that a cache follows from."""

_BYTES = {"float32": 4, "float16": 2}


def is_served(recipe: Recipe) -> bool:
    """Whether a cache keeps all that the method takes from a teacher."""
    distill = recipe.distill
    stages = needs_stages(distill.method, distill.base)
    return METHODS[distill.method].needs_teacher and (distill.teacher_cache.stages or not stages)


def kept_outputs(recipes: Sequence[Recipe], teacher: "NetworkShape") -> dict[str, str]:
    """What methods take from the visual teacher: name → name of its files.

    Args:
        recipes: the methods', of which the first says how maps are pooled.
        teacher: the visual teacher's shape.
    """
    used = {name for recipe in recipes for name in _used(recipe, teacher)}
    files = {"logits": "logits", "pooled": "pooled", "feature_map": f"map{recipes[0].distill.feature.pool}"}
    files |= {name: name for name in map(f"{STAGE}{{}}".format, range(len(teacher.stages)))}
    return {name: file for name, file in files.items() if name in used}


def cache_bytes(
    recipe: Recipe, kept: Iterable[str], images: int, views: int, teacher: "NetworkShape", text_width: int
) -> int:
    """Bytes on the disk of a cache once it is full.

    Args:
        recipe: says how many epochs, how maps are pooled and how numbers are kept.
        kept: names of `kept_outputs`, and `embeddings` where CLIP's are kept.
        images: training images.
        views: that the teacher sees, rgb among them.
        teacher: the visual teacher's shape.
        text_width: of CLIP's embeddings, D; 0 where they are not kept.
    """
    cache = recipe.distill.teacher_cache
    widths = {
        "logits": teacher.classes,
        "pooled": teacher.channels,
        "feature_map": teacher.channels * recipe.distill.feature.pool**2,
        "embeddings": text_width,
        **{f"{STAGE}{n}": c * h * w for n, (c, h, w) in enumerate(teacher.stages)},
    }
    # Each value has a mark of a byte.
    return cache.passes * images * views * sum(widths[name] * _BYTES[cache.storage] + 1 for name in kept)


def seen_bytes(recipe: Recipe, images: int, views: int, text_width: int) -> int:
    """Bytes on the disk of CLIP's embeddings of whole images, of which weights of views follow; as `cache_bytes`."""
    return images * views * (text_width * _BYTES[recipe.distill.teacher_cache.storage] + 1)


def room_problem(cache: TeacherCacheSettings, needed: int) -> tuple[str, str] | None:
    """Message and remedy where a cache would be larger than the recipe allows; None where it is not."""
    if cache.max_gb is None or needed <= cache.max_gb * 1e9:
        return None
    ways = ["raise it"]
    fitting = int(cache.max_gb * 1e9 * cache.passes / needed)
    if fitting:
        ways.insert(0, f"set distill.teacher_cache.passes to {fitting} or less")
    if cache.storage == "float32":
        half = "" if needed / 2 <= cache.max_gb * 1e9 else " (not enough by itself)"
        ways.insert(0, f"set distill.teacher_cache.storage to float16{half}")
    message = (
        f"distill.teacher_cache.max_gb: the teacher cache would take {needed / 1e9:.3g} GB in {cache.passes} epochs,"
        f" and {cache.max_gb:g} GB are allowed"
    )
    return message, f"{' or '.join(ways).capitalize()}."


def no_room(needed: float, free: float) -> UnavailableError:
    """The error where the disk has fewer bytes than a cache still needs."""
    return UnavailableError(
        f"the teacher cache takes {byte_count(needed)} more and the disk has {byte_count(free)}",
        remedy="Lower distill.teacher_cache.passes (0 turns it off), set distill.teacher_cache.storage to float16,"
        " or choose another --run-dir.",
    )


def _used(recipe: Recipe, teacher: "NetworkShape") -> set[str]:
    """Names of the visual teacher's outputs that a recipe's method uses."""
    distill = recipe.distill
    entry = METHODS[distill.base if distill.method == "tmkd" else distill.method]
    used = {"logits"}
    if entry.needs_pooled:
        used.add("pooled")
    if entry.needs_feature_map or _adds_feature_loss(recipe):
        used.add("feature_map")
    if entry.needs_stages:
        used |= {f"{STAGE}{number}" for number in range(len(teacher.stages))}
    return used


def _adds_feature_loss(recipe: Recipe) -> bool:
    """Whether `tmkd` adds the feature loss to a base that has none."""
    base = METHODS[recipe.distill.base]
    return recipe.distill.method == "tmkd" and "feature" not in base.losses and recipe.distill.losses.feature.weight > 0
