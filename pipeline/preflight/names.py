"""What prompts are made of, the templates and the words for the classes; and classes that are weighted by name."""

from pathlib import Path

from pipeline.catalog import prompt_names
from pipeline.class_names.words import class_words, code_name_warning
from pipeline.preflight.base import Report, Subject
from pipeline.tmkd.prompts import Prompts
from pipeline.training.class_weights import class_weights


def check_prompts(subject: Subject, report: Report) -> None:
    """Read the templates, where they are used; `files` says where they are missing.

    Raises:
        UsageError: a file with mistakes.
    """
    text = subject.recipe.teacher.text
    if text.has_text_tower and (text.prompts in prompt_names() or Path(text.prompts).is_file()):
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
    if text.has_text_tower and (warning := code_name_warning(words)) is not None:
        report.warn(f"text: {warning}")


def check_class_weights(subject: Subject, report: Report) -> None:
    """Look for the classes that have weights of their own.

    Raises:
        UsageError: one that the data set does not have.
    """
    labels = subject.labels
    fit = subject.recipe.teacher.visual.fit
    if fit is not None and "teacher" in subject.stages:
        class_weights(fit.class_weights, labels, subject.classes, "teacher.visual.fit")
    if subject.stages & {"race", "distill"}:
        class_weights(subject.recipe.train.class_weights, labels, subject.classes, "train")
