"""What a teacher cache keeps of the teachers' outputs, and how much that is; known before anything is trained."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.disk import require_room
from exporters.core.errors import UsageError
from exporters.core.wording import byte_count, count_of
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


def own_cache_bytes(recipe: Recipe, images: int, views: int, teacher: "NetworkShape", text_width: int = 0) -> int:
    """Bytes on the disk of the cache for the recipe's own method, with embeddings where these have a width; 0 where it
    has no cache. Arguments as of `cache_bytes`.
    """
    if not recipe.distill.teacher_cache.passes or not is_served(recipe):
        return 0
    kept = [*kept_outputs((recipe,), teacher), *(["embeddings"] if text_width else [])]
    return cache_bytes(recipe, kept, images, views, teacher, text_width)


def seen_bytes(recipe: Recipe, images: int, views: int, text_width: int) -> int:
    """Bytes on the disk of CLIP's embeddings of whole images, of which weights of views follow; as `cache_bytes`."""
    return images * views * (text_width * _BYTES[recipe.distill.teacher_cache.storage] + 1)


def is_allowed(cache: TeacherCacheSettings, size: float) -> bool:
    """Whether so many bytes of kept outputs stay below `max_gb`."""
    return cache.max_gb is None or size <= cache.max_gb * 1e9


def require_allowed(cache: TeacherCacheSettings, needed: int, seen: int = 0) -> None:
    """Refuse kept outputs that are more than the recipe allows.

    Args:
        cache: the recipe's settings.
        needed: bytes of the teacher cache, as of `cache_bytes`; 0 where there is none.
        seen: bytes of `seen_bytes`; 0 where CLIP looks at no whole images.

    Raises:
        UsageError: together they are; says what would fit.
    """
    if cache.max_gb is None or is_allowed(cache, needed + seen):
        return
    allowed = cache.max_gb * 1e9
    ways = ["raise it"]
    if seen and not needed:  # a cache would keep what CLIP says of crops, which is no less
        ways.insert(0, "set distill.weighting.seen to crop")
    if needed and (fitting := int(max(0, allowed - seen) * cache.passes / needed)):
        ways.insert(0, f"set distill.teacher_cache.passes to {fitting} or less")
    if cache.storage == "float32":
        half = "" if is_allowed(cache, (needed + seen) / 2) else " (not enough by itself)"
        ways.insert(0, f"set distill.teacher_cache.storage to float16{half}")
    parts = (
        [f"the teacher cache would take {byte_count(needed)} in {count_of(cache.passes, 'epoch')}"] if needed else []
    )
    if seen:
        parts.append(f"what CLIP says of whole images {'' if needed else 'would take '}{byte_count(seen)}")
    raise UsageError(
        f"distill.teacher_cache.max_gb: {' and '.join(parts)}, and {byte_count(allowed)} are allowed",
        remedy=f"{' or '.join(ways).capitalize()}.",
    )


def require_cache_room(needed: float, path: Path) -> None:
    """Refuse a teacher cache that still needs more bytes than the disk of a path has.

    Raises:
        UnavailableError: it does.
    """
    remedy = (
        "Lower distill.teacher_cache.passes (0 turns it off), set distill.teacher_cache.storage to float16,"
        " or choose another --run-dir."
    )
    require_room("the teacher cache", needed, path, remedy)


def require_seen_room(needed: float, path: Path) -> None:
    """Refuse what CLIP says of whole images where it still needs more bytes than the disk of a path has.

    Raises:
        UnavailableError: it does.
    """
    remedy = (
        "Set distill.teacher_cache.storage to float16 or distill.weighting.seen to crop, or choose another --run-dir."
    )
    require_room("what CLIP says of whole images", needed, path, remedy)


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
