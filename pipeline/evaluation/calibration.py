"""Temperature scaling: one number that makes probabilities as likely as they say, and changes no answer.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 4.2, equation 9.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exporters.core.temperature import LEAST, MOST
from pipeline.evaluation.probabilities import (
    BINS,
    bins_of,
    calibration_error,
    log_probabilities,
    negative_log_likelihood,
)
from pipeline.randomness import generator

FOLDS = 5
"""Parts of the validation split; each is scored by a temperature that was fitted on the others."""

RESAMPLES = 1000
"""Of the images of validation, for the interval of the change of the calibration error."""

_DIGITS = 6
_CHUNK = 2**22  # logits, or counts of resampled images, that are looked at together


@dataclass(frozen=True)
class Quality:
    """Negative log-likelihood, nats, and expected calibration error, in [0, 1]."""

    nll: float
    ece: float


@dataclass(frozen=True)
class Calibration:
    """The temperature of a student, fitted on validation.

    Attributes:
        temperature: what is applied; 1 where that is nothing.
        fitted: what minimises the NLL on validation.
        off: why nothing is applied; empty where something is.
        images: split → its images.
        before, after: split → how good probabilities are at temperature 1 and at `fitted`.
        cross_fitted: on validation, each image at the temperature that the other four fifths of the images give.
    """

    temperature: float
    fitted: float
    off: str
    images: Mapping[str, int]
    before: Mapping[str, Quality]
    after: Mapping[str, Quality]
    cross_fitted: Quality | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for the verdict; `splits` as the manifest of a bundle has it."""
        return {
            "temperature": self.temperature,
            "fitted": self.fitted,
            "off": self.off or None,
            "cross_fitted": None if self.cross_fitted is None else asdict(self.cross_fitted),
            "splits": {
                split: {
                    "images": self.images[split],
                    **{
                        f"{key}_{when}": value
                        for when, found in (("before", self.before[split]), ("after", self.after[split]))
                        for key, value in asdict(found).items()
                    },
                }
                for split in self.images
            },
        }


def scaled(logits: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Logits `[N, K]` divided by a temperature, or by one for each image `[N]`, in float64."""
    divided: np.ndarray = logits.astype(np.float64) / np.reshape(temperature, (-1, 1))
    return divided


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that minimises the mean of `-log softmax(logits / T)[label]`.

    In the inverse temperature β the NLL is convex; its slope, the mean over the images of the logit expected under
    `softmax(β · logits)` less the logit of the label, is zero at the minimum, which Brent's method finds.

    Args:
        logits: `[N, K]`, finite, N at least 1.
        labels: `[N]`.

    Returns:
        In [`LEAST`, `MOST`], to six digits; a bound where the minimum lies beyond it (`LEAST` where all answers are
        right); 1 where each image's logits are equal, so that no temperature matters.

    Raises:
        ValueError: a logit that is not finite.
    """
    from scipy.optimize import brentq

    if not np.isfinite(logits).all():
        raise ValueError("logits are not finite")
    if np.all(logits == logits[:, :1]):
        return 1.0
    coldest, hottest = 1 / LEAST, 1 / MOST
    if _slope(coldest, logits, labels) <= 0:
        return LEAST
    if _slope(hottest, logits, labels) >= 0:
        return MOST
    inverse = brentq(_slope, hottest, coldest, args=(logits, labels), xtol=1e-10)
    return float(f"{1 / inverse:.{_DIGITS}g}")


def _slope(inverse: float, logits: np.ndarray, labels: np.ndarray) -> float:
    """The derivative of the summed NLL by the inverse temperature."""
    total = 0.0
    for rows in _chunks(logits):
        below = logits[rows].astype(np.float64)
        below -= below.max(axis=1, keepdims=True)
        weights = np.exp(inverse * below)
        expected = (weights * below).sum(axis=1) / weights.sum(axis=1)
        total += float((expected - below[np.arange(len(below)), labels[rows]]).sum())
    return total


def _chunks(logits: np.ndarray) -> Iterator[slice]:
    rows = max(1, _CHUNK // logits.shape[1])
    return (slice(start, start + rows) for start in range(0, len(logits), rows))


def calibrate(
    validation: tuple[np.ndarray, np.ndarray], others: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Calibration:
    """Fit a temperature on validation; it is applied where it helps images that it was not fitted on.

    The NLL decides, by cross-fitting, in which no image is scored by a temperature that it was fitted on: it is a
    proper score, and a mean over all images. The ECE sums the absolute noise of its bins, several points of it on a few
    hundred images; it speaks against the temperature only where its 95 % interval shows that it becomes larger.

    Args:
        validation: logits `[N, K]`, finite, and labels `[N]`.
        others: further splits, which are measured and decide nothing.
    """
    logits, labels = validation
    splits = {"validation": validation, **others}
    fitted = fit_temperature(logits, labels)
    before = {split: _quality(*values, 1.0) for split, values in splits.items()}
    after = {split: _quality(*values, fitted) for split, values in splits.items()}
    crossed = _cross_fitted(logits, labels)
    off = _reason(fitted, before["validation"], crossed, validation)
    images = {split: len(found) for split, (_, found) in splits.items()}
    return Calibration(1.0 if off else fitted, fitted, off, images, before, after, crossed)


def _reason(fitted: float, before: Quality, crossed: Quality | None, validation: tuple[np.ndarray, np.ndarray]) -> str:
    """Why the fitted temperature is not applied; empty where it is."""
    if fitted in (LEAST, MOST):
        return f"the likelihood has no optimum between {LEAST:g} and {MOST:g}"
    if crossed is None:
        return "one image is too few"
    if fitted == 1 or crossed.nll >= before.nll:
        return "it does not improve the likelihood of images that it was not fitted on"
    if change_of_calibration_error(*validation, fitted)[0] > 0:
        return "it makes the calibration error on validation larger, beyond chance"
    return ""


def change_of_calibration_error(logits: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[float, float]:
    """95 % percentile interval of the ECE at a temperature less that at 1, by a paired bootstrap over images.

    Args:
        logits: `[N, K]`, finite, N at least 1.
        labels: `[N]`.
        temperature: above 0.

    Returns:
        Low and high end, in [-1, 1]; the same on every call.
    """
    images = len(labels)
    sides = [_gaps(logits, labels, 1.0), _gaps(logits, labels, temperature)]
    random, step = generator(0, "calibration error"), max(1, _CHUNK // images)
    changes: list[np.ndarray] = []
    for start in range(0, RESAMPLES, step):
        resamples = min(step, RESAMPLES - start)
        counts = random.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)
        without, with_it = (np.abs(counts @ gaps).sum(axis=1) / images for gaps in sides)
        changes.append(with_it - without)
    low, high = np.percentile(np.concatenate(changes), [2.5, 97.5])
    return float(low), float(high)


def _gaps(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """`[N, BINS]`: what each image adds to its bin of the ECE, confidence less 1 where it is right, else confidence."""
    confidence = np.exp(log_probabilities(scaled(logits, temperature)).max(axis=1))
    gaps = np.zeros((len(labels), BINS))
    gaps[np.arange(len(labels)), bins_of(confidence)] = confidence - (logits.argmax(axis=1) == labels)
    return gaps


def _cross_fitted(logits: np.ndarray, labels: np.ndarray) -> Quality | None:
    """The quality with each image at the temperature of the other folds; None for a single image."""
    folds = min(FOLDS, len(labels))
    if folds < 2:
        return None
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds  # each class is spread over all folds
    temperatures = np.empty(len(labels))
    for held in range(folds):
        temperatures[fold == held] = fit_temperature(logits[fold != held], labels[fold != held])
    return _quality(logits, labels, temperatures)


def _quality(logits: np.ndarray, labels: np.ndarray, temperature: float | np.ndarray) -> Quality:
    divided = scaled(logits, temperature)
    return Quality(negative_log_likelihood(divided, labels), calibration_error(divided, labels))
