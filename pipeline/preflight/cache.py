"""The teacher cache: whether it stays below what the recipe allows, and whether the disk has room for it."""

import shutil

from exporters.core.errors import UsageError
from pipeline.distill.settings import AUTO
from pipeline.preflight.base import Report, Subject
from pipeline.stages.shared.cache_size import cache_bytes, is_served, kept_outputs, no_room, room_problem
from pipeline.tmkd.cache_folders import cache_folders


def check_room(subject: Subject, report: Report) -> None:
    """Compare the size of the cache with `distill.teacher_cache.max_gb`, and with what the disk has.

    CLIP's embeddings, whose width is not known yet, are left out, and so is what the stage `fusion` or a race decides:
    the stage that trains the student looks again.
    """
    distill = subject.recipe.distill
    cache = distill.teacher_cache
    if not cache.passes or distill.method == AUTO or not is_served(subject.recipe):
        return
    views = 1 if distill.views == "auto" or not distill.uses_views else 1 + len(distill.views)
    shape = subject.teacher().shape
    kept = kept_outputs((subject.recipe,), shape)
    needed = cache_bytes(subject.recipe, kept, len(subject.index.splits["train"]), views, shape, text_width=0)
    if problem := room_problem(cache, needed):
        message, remedy = problem
        report.add(UsageError(message, remedy=remedy))
        return
    # Caches that are there may be of other keys: which one it will be is not known before the teacher is.
    there = sum(folder.bytes for folder in cache_folders(subject.run.cache) if folder.kind == "teacher")
    free = shutil.disk_usage(subject.run.path).free
    if needed - there > free:
        report.add(no_room(needed - there, free))
