"""Files of text embeddings: whether they have each class."""

from pathlib import Path

from exporters.core.errors import TmkdError
from pipeline.class_names.words import class_words
from pipeline.preflight.base import Report, Subject


def check(subject: Subject, report: Report) -> None:
    """Read the files of embeddings and anchors that are used, for the classes of the data."""
    from pipeline.models.embeddings import read_embeddings

    text = subject.recipe.teacher.text
    anchored = subject.stages & {"race", "distill"} or ("text" in subject.stages and text.tower is not None)
    files = {
        "teacher.text.weights": text.weights if "text" in subject.stages and not text.has_image_tower else None,
        "teacher.text.anchors": text.anchors if anchored else None,
    }
    for key, file in files.items():
        if file is None or not subject.recipe.distill.may_use_tmkd:
            continue
        with report.collecting():
            words = class_words(text.class_names, subject.classes)
            try:
                read_embeddings(Path(file).expanduser(), subject.classes, words)
            except TmkdError as error:
                error.message = f"{key}: {error.message}"
                raise
