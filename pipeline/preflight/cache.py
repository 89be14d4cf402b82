"""The teacher cache: whether it stays below what the recipe allows."""

from exporters.core.errors import UsageError
from pipeline.distill.settings import AUTO
from pipeline.preflight.base import Report, Subject
from pipeline.stages.shared.cache_size import cache_bytes, is_served, kept_outputs, room_problem


def check_room(subject: Subject, report: Report) -> None:
    """Compare the size of the cache with `distill.teacher_cache.max_gb`.

    CLIP's embeddings, whose width is not known yet, are left out, and so is what the stage `fusion` or a race decides:
    the stage that trains the student looks again.
    """
    distill = subject.recipe.distill
    cache = distill.teacher_cache
    if cache.max_gb is None or not cache.passes or distill.method == AUTO or not is_served(subject.recipe):
        return
    views = 1 if distill.views == "auto" or not distill.uses_views else 1 + len(distill.views)
    shape = subject.teacher().shape
    kept = kept_outputs((subject.recipe,), shape)
    needed = cache_bytes(subject.recipe, kept, len(subject.index.splits["train"]), views, shape, text_width=0)
    if problem := room_problem(cache, needed):
        message, remedy = problem
        report.add(UsageError(message, remedy=remedy))
