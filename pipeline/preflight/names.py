"""What prompts are made of: the templates, and the words for the classes."""

from pipeline.class_names.words import class_words, code_name_warning
from pipeline.preflight.base import Report, Subject
from pipeline.tmkd.prompts import Prompts


def check_prompts(subject: Subject, report: Report) -> None:
    """Read the templates, where they are used.

    Raises:
        UsageError: no such file, or one with mistakes.
    """
    text = subject.recipe.teacher.text
    if text.has_image_tower:
        Prompts.load(text.prompts)


def check_class_names(subject: Subject, report: Report) -> None:
    """Find words for the classes; warn of codes, which tell CLIP nothing.

    Raises:
        UsageError: classes without words, or two that are called the same.
    """
    text = subject.recipe.teacher.text
    if "text" not in subject.stages and text.anchors is None:
        return
    words = class_words(text.class_names, subject.classes)
    if text.has_image_tower and (warning := code_name_warning(words)) is not None:
        report.warn(f"text: {warning}")
