"""The teacher cache: whether it stays below what the recipe allows, and whether the disk has room for it."""

from pipeline.distill.settings import AUTO
from pipeline.preflight.base import Report, Subject
from pipeline.stages.shared.cache_size import is_served, own_cache_bytes, require_allowed, require_cache_room
from pipeline.tmkd.cache_folders import cache_folders


def check_room(subject: Subject, report: Report) -> None:
    """Compare the size of the cache with `distill.teacher_cache.max_gb`, and with what the disk has.

    CLIP's embeddings, whose width is not known yet, are left out, and so is what the stage `fusion` or a race decides:
    the stage that trains the student looks again.

    Raises:
        UsageError: it is larger than allowed.
        UnavailableError: the disk has no room for it.
    """
    distill = subject.recipe.distill
    if not distill.teacher_cache.passes or distill.method == AUTO or not is_served(subject.recipe):
        return
    views = 1 if distill.views == "auto" or not distill.uses_views else 1 + len(distill.views)
    needed = own_cache_bytes(subject.recipe, len(subject.labels), views, subject.teacher().shape)
    require_allowed(distill.teacher_cache, needed)
    # Caches that are there may be of other keys: which one it will be is not known before the teacher is.
    there = sum(folder.bytes for folder in cache_folders(subject.run.cache) if folder.kind == "teacher")
    require_cache_room(needed - there, subject.run.path)
