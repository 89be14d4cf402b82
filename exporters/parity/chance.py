"""Compares an accuracy with chance: with always predicting the most common class."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from exporters.parity.intervals import wilson_interval

_USEFUL = 0.25
"""Of the way from chance level to 1."""


def chance_level(labels: np.ndarray) -> float:
    """The accuracy in [0, 1] of always predicting the most common class: 1/K where K classes are equally frequent.

    Args:
        labels: `[N]`, integers, N ≥ 1.
    """
    return float(np.bincount(labels).max() / len(labels))


def is_above_chance(correct: int, images: int, chance: float) -> bool:
    """Whether the 95 % interval of an accuracy (Wilson, 1927) lies above the chance level as a whole.

    Args:
        correct: images that were classified correctly.
        images: all images, 1 or more.
        chance: `chance_level` of the same images.
    """
    return wilson_interval(correct, images)[0] > chance


def has_learned(score: Mapping[str, Any]) -> bool:
    """`is_above_chance` for the result of `pipeline.evaluation.metrics.score`."""
    return is_above_chance(score["correct"], score["images"], score["chance"])


def are_too_few(correct: int, images: int, chance: float) -> bool:
    """Whether the images cannot show a difference from chance: their interval holds chance level and useful accuracy.

    Useful is what gains a quarter of the way from chance level to 1 or more. Where the interval ends below that, the
    images do show that little or nothing was learned.

    Args:
        correct: images that were classified correctly.
        images: all images, 1 or more.
        chance: `chance_level` of the same images.
    """
    useful = chance + _USEFUL * (1 - chance)
    return not is_above_chance(correct, images, chance) and wilson_interval(correct, images)[1] >= useful


def not_above_chance(subject: str, score: Mapping[str, Any], split: str, more: str = "") -> str:
    """A sentence about a score that is not above chance level: that it is chance, or that the images are too few.

    Args:
        subject: of the sentence, such as `the student`.
        score: with `top1`, `images` and `chance`.
        split: of the images.
        more: what else is said of a subject at chance level, such as `, with nothing to teach`.
    """
    correct, images = round(score["top1"] * score["images"]), score["images"]
    if are_too_few(correct, images, score["chance"]):
        claim = f"so few images cannot show whether {subject} is better than chance"
    else:
        claim = f"{subject} is at chance level{more}"
    return f"{claim}: {describe_score(score, split)}"


def describe(top1: float, images: int, chance: float, split: str = "") -> str:
    """An accuracy with its interval and the chance level, as part of a sentence.

    Example:
        >>> describe(0.21875, 64, 0.203125, "test")
        '21.88 % (95 % interval 13.5 to 33.4) on 64 test images, where always answering the commonest class gives …'
    """
    which = f"{split} images" if split else "images"
    return (
        f"{100 * top1:.2f} % (95 % interval {interval_text(top1, images, ' to ')}) on {images:,} {which},"
        f" where always answering the commonest class gives {100 * chance:.2f} %"
    )


def describe_score(score: Mapping[str, Any], split: str) -> str:
    """`describe` for the result of `pipeline.evaluation.metrics.score`."""
    return describe(score["top1"], score["images"], score["chance"], split)


def interval_text(top1: float, images: int, between: str = "–") -> str:
    """The 95 % interval of an accuracy in per cent, with one decimal: `63.8–71.0`."""
    low, high = wilson_interval(round(top1 * images), images)
    return f"{100 * low:.1f}{between}{100 * high:.1f}"
