"""CLIP: whether the model exists, and its weights are here or can be fetched."""

from pipeline.preflight.base import Report, Subject
from pipeline.recipe.needs import needs_image_tower


def check(subject: Subject, report: Report) -> None:
    """Load CLIP, where a stage will; fetched weights stay in the cache of open_clip.

    Raises:
        UsageError: no such model or tag.
        UnavailableError: the weights are not here and cannot be fetched, or do not fit.
    """
    text = subject.recipe.teacher.text
    if not text.has_image_tower or (text.tower is not None and not text.has_text_tower):
        return  # a file has the classes, and no model is asked
    if "text" in subject.stages or (text.weights != "fit" and needs_image_tower(subject.recipe)):
        subject.clip()
