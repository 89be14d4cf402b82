"""Compares class activation maps of a candidate with the reference's, image by image.

Errors are relative to the maps' scale, the largest absolute value of the reference's maps over the whole set. Maps are
of each side's own answer, so that they are compared where the two answer the same; how often they do, the logits' gate
judges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exporters.core.errors import UsageError
from exporters.parity.gate import ParityGate
from exporters.runtimes.base import Explained

MEAN_BOUND = 0.1
"""On the mean error, where the gate has no bound on the largest one, as for int8."""


@dataclass(frozen=True)
class MapResult:
    """Comparison of the maps of N images.

    Args:
        images: N.
        compared: of them, those with the same most likely class on both sides and finite logits.
        scale: largest absolute value of the reference's maps; the errors are divided by it.
        max_scaled_error, mean_scaled_error: over all values of the maps; None where none was compared.
        cosine: the lowest cosine between the two maps of an image.
        non_finite: images with a NaN or infinite value in either map.
    """

    images: int
    compared: int
    scale: float
    max_scaled_error: float | None
    mean_scaled_error: float | None
    cosine: float | None
    non_finite: int


class MapMeter:
    """Accumulates a comparison batch by batch; keeps a few numbers and no maps."""

    def __init__(self) -> None:
        self._images = self._compared = self._values = self._non_finite = 0
        self._scale = self._largest = self._total = 0.0
        self._cosine = 1.0

    def add(self, reference: Explained, candidate: Explained) -> None:
        """Add a batch; UsageError where the shapes do not fit together."""
        if reference.cam.shape != candidate.cam.shape or reference.logits.shape != candidate.logits.shape:
            raise UsageError(
                f"parity: cannot compare maps {list(reference.cam.shape)} with {list(candidate.cam.shape)}"
            )
        known, finite = (np.isfinite(maps).all(axis=(1, 2)) for maps in (reference.cam, candidate.cam))
        same = reference.logits.argmax(axis=1) == candidate.logits.argmax(axis=1)
        same &= known & finite & np.isfinite(candidate.logits).all(axis=1)
        a, b = reference.cam[same].astype(np.float64), candidate.cam[same].astype(np.float64)
        error = np.abs(a - b)
        norms = np.linalg.norm(a, axis=(1, 2)) * np.linalg.norm(b, axis=(1, 2))
        equal = error.max(axis=(1, 2)) == 0
        cosine = np.where(equal, 1.0, (a * b).sum(axis=(1, 2)) / np.where(norms > 0, norms, 1))
        self._images += len(same)
        self._compared += len(a)
        self._values += a.size
        self._non_finite += int(np.sum(~(known & finite)))
        self._scale = float(np.abs(reference.cam[known]).max(initial=self._scale))
        self._largest = float(error.max(initial=self._largest))
        self._total += float(error.sum())
        self._cosine = float(cosine.min(initial=self._cosine))

    def result(self) -> MapResult:
        """The comparison over all batches."""
        scale, some = self._scale or 1.0, self._compared > 0  # all maps zero: errors are then absolute
        return MapResult(
            images=self._images,
            compared=self._compared,
            scale=self._scale,
            max_scaled_error=self._largest / scale if some else None,
            mean_scaled_error=self._total / self._values / scale if some else None,
            cosine=self._cosine if some else None,
            non_finite=self._non_finite,
        )


@dataclass(frozen=True)
class MapReport:
    """Comparison of the whole set at the largest batch size, and of its first images again at small batch sizes.

    Args:
        max_scaled_error: the bound on the largest error; None: `MEAN_BOUND` holds for the mean one.
        failures: bounds that any of them exceeds.
    """

    max_scaled_error: float | None
    whole: MapResult
    parts: Mapping[int, MapResult]
    failures: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        bounded = self.max_scaled_error is not None
        return {
            "bound": {
                "max_scaled_error": self.max_scaled_error,
                "mean_scaled_error": None if bounded else MEAN_BOUND,
            },
            "failures": list(self.failures),
            "whole": asdict(self.whole),
            "batches": {str(size): asdict(part) for size, part in self.parts.items()},
        }


def report_maps(whole: MapResult, parts: Mapping[int, MapResult], gate: ParityGate) -> MapReport:
    """Judge maps by a gate's bound on the largest error, which holds for maps as for logits."""
    failures = judge_maps(whole, gate)
    failures += [f"at batch {size}: {failure}" for size, part in parts.items() for failure in judge_maps(part, gate)]
    return MapReport(gate.max_scaled_error, whole, dict(parts), failures)


def judge_maps(result: MapResult, gate: ParityGate) -> list[str]:
    """The bounds that the result exceeds, one line each; an empty list passes."""
    failures = []
    if result.non_finite:
        failures.append(f"{result.non_finite} of {result.images} class activation maps have a NaN or infinite value")
    worst, mean, bound = result.max_scaled_error, result.mean_scaled_error, gate.max_scaled_error
    if worst is None or mean is None:
        failures.append("no class activation map could be compared: not one image has the same answer")
    elif bound is not None and worst > bound:
        failures.append(f"class activation maps: largest error {worst:.3g} of the maps' scale, allowed {bound:.3g}")
    elif bound is None and mean > MEAN_BOUND:
        failures.append(f"class activation maps: mean error {mean:.3g} of the maps' scale, allowed {MEAN_BOUND:.3g}")
    return failures
