"""What distillation is worth: the distilled student against another one, image by image, and in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.evaluation.paired import paired_difference


def paired_gain(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Accuracy of one student less that of another on the same images, with its paired 95 % bootstrap interval.

    Args:
        ours: bool `[N]`, whether each image is right.
        theirs: the same of the student that is subtracted.

    Returns:
        JSON values: `mean` and `interval` (both ends) in [-1, 1], and `verdict`: better, worse or not distinguishable,
        as the interval says.

    Raises:
        ValueError: not as many images.
    """
    paired = paired_difference({0: ours}, {0: theirs})
    return {"mean": paired.mean, "interval": list(paired.interval), "verdict": paired.verdict}


def gain_in_words(subject: str, other: str, gain: Mapping[str, Any]) -> str:
    """A difference as a sentence without a full stop.

    Args:
        subject: the student of which it is said, such as `the student`.
        other: what it is compared with, such as `plain training`.
        gain: of `paired_gain`.

    Example:
        >>> gain_in_words("the student", "plain training", {"mean": 0.021, "interval": [0.003, 0.039], …})
        'the student beats plain training by 2.10 points (paired 95 % interval +0.30 to +3.90)'
    """
    mean, (low, high) = 100 * gain["mean"], (100 * end for end in gain["interval"])
    interval = f"(paired 95 % interval {low:+.2f} to {high:+.2f})"
    if gain["verdict"] == "better":
        return f"{subject} beats {other} by {mean:.2f} points {interval}"
    if gain["verdict"] == "worse":
        return f"{subject} is WORSE than {other} by {-mean:.2f} points {interval}"
    return f"{subject} cannot be told from {other}: {mean:+.2f} points {interval}"
