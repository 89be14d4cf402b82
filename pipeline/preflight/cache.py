"""What is kept of the teachers' outputs: whether the recipe allows it, and whether the disk has room."""

from pipeline.distill.registry import METHODS
from pipeline.distill.settings import AUTO
from pipeline.preflight.base import Report, Subject
from pipeline.recipe.needs import looks_at_whole_images, needs_image_tower
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.cache_size import (
    own_cache_bytes,
    require_allowed,
    require_cache_room,
    require_seen_room,
    seen_bytes,
)
from pipeline.tmkd.cache_folders import cache_folders


def check_room(subject: Subject, report: Report) -> None:
    """Compare the sizes of the teacher cache, and of what CLIP says of whole images, with
    `distill.teacher_cache.max_gb`, and with what the disk has.

    What the stage `fusion` or a race decides is left out: the stage that trains the student looks again.

    Raises:
        UsageError: together they are larger than allowed.
        UnavailableError: the disk has no room for one of them.
    """
    recipe, distill = subject.recipe, subject.recipe.distill
    if distill.method == AUTO or not METHODS[distill.method].needs_teacher:
        return
    whole, images = looks_at_whole_images(recipe), len(subject.labels)
    if not distill.teacher_cache.passes and not whole:
        return
    views = 1 if distill.views == "auto" or not distill.uses_views else 1 + len(distill.views)
    width = _embedding_width(recipe)
    seen = seen_bytes(recipe, images, views, width) if whole and width else 0
    needed = own_cache_bytes(recipe, images, views, subject.teacher().shape, 0 if whole else width)
    require_allowed(distill.teacher_cache, needed, seen)
    # Caches that are there may be of other keys: which one it will be is not known before the teacher is.
    there = {"teacher": 0, "seen": 0}
    for folder in cache_folders(subject.run.cache):
        there[folder.kind] += folder.bytes
    require_cache_room(needed - there["teacher"], subject.run.path)
    require_seen_room(seen - there["seen"], subject.run.path)


def _embedding_width(recipe: Recipe) -> int:
    """Width of what CLIP says of an image; 0 where it looks at none, or a file that is not read yet has the width."""
    text = recipe.teacher.text
    if not needs_image_tower(recipe) or not text.has_text_tower:
        return 0
    from pipeline.models.clip import embedding_width

    return embedding_width(text.model)
