"""Compares two sets of logits image by image.

Errors are relative to the logits' scale, the largest absolute logit of the reference over the whole set: a bare
absolute tolerance means nothing across networks.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from exporters.core.errors import UsageError
from exporters.core.growing import GrowingArray
from exporters.parity.gate import ParityGate
from exporters.parity.intervals import paired_interval

_WORST = 10


@dataclass(frozen=True)
class ParityResult:
    """Comparison of a candidate with the reference on N images with K classes.

    Args:
        images: N.
        scale: largest absolute logit of the reference; the three errors are divided by it.
        max_scaled_error, mean_scaled_error: over all N·K logits; None where nothing finite could be compared.
        p99_scaled_error: 99th percentile over the images of each image's largest error.
        cosine: the lowest cosine between the two logit vectors of an image.
        top1_agreement: share of images with the same most likely class.
        top5_agreement: share of images with the same set of the min(5, K) most likely classes.
        differing: images whose most likely class differs.
        non_finite: images with a NaN or infinite logit on either side; these count as differing.
        reference_accuracy, candidate_accuracy, accuracy_drop: top-1; None without labels. The drop is negative where
            the candidate is better.
        accuracy_drop_interval: 95 % interval of the drop, the images being paired (see `paired_interval`).
        worst: the ten images with the largest error, those that are not finite first, as {name, scaled_error,
            reference, candidate}, the last two being the most likely classes.
    """

    images: int
    scale: float
    max_scaled_error: float | None
    mean_scaled_error: float | None
    p99_scaled_error: float | None
    cosine: float | None
    top1_agreement: float
    top5_agreement: float
    differing: int
    non_finite: int
    reference_accuracy: float | None
    candidate_accuracy: float | None
    accuracy_drop: float | None
    accuracy_drop_interval: tuple[float, float] | None
    worst: list[dict[str, Any]]

    @property
    def would_pass(self) -> ParityGate:
        """The tightest gate that this result passes."""
        drop = self.accuracy_drop
        return ParityGate(self.max_scaled_error, self.top1_agreement, 1.0 if drop is None else max(0.0, drop))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with the tightest gate that would have passed."""
        interval = self.accuracy_drop_interval
        return {
            **asdict(self),
            "accuracy_drop_interval": None if interval is None else list(interval),
            "would_pass": asdict(self.would_pass),
        }


@dataclass
class ParityMeter:
    """Accumulates a comparison batch by batch; keeps a few numbers per image and no logits."""

    _names: list[str] = field(default_factory=list)
    _rows: GrowingArray = field(default_factory=GrowingArray)
    _hits: GrowingArray = field(default_factory=GrowingArray)
    _scale: float = 0.0

    def add(
        self, reference: np.ndarray, candidate: np.ndarray, labels: np.ndarray | None, names: Sequence[str]
    ) -> None:
        """Add a batch.

        Args:
            reference, candidate: logits `[B, K]`.
            labels: `[B]`, or None for every batch.
            names: B names, for the list of the worst images.

        Raises:
            UsageError: shapes that do not fit together.
        """
        if reference.shape != candidate.shape or reference.ndim != 2 or len(names) != len(reference):
            raise UsageError(
                f"parity: cannot compare {list(reference.shape)} with {list(candidate.shape)} for {len(names)} names"
            )
        a, b = reference.astype(np.float64), candidate.astype(np.float64)
        finite = np.asarray(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1))
        a, b = np.where(finite[:, None], a, 0), np.where(finite[:, None], b, 0)
        error = np.abs(a - b)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        same = np.all(a == b, axis=1)
        cosine = np.where(same, 1.0, np.sum(a * b, axis=1) / np.where(norms > 0, norms, 1))
        top = min(5, a.shape[1])
        top_a, top_b = (np.sort(np.argsort(-logits, axis=1, kind="stable")[:, :top], axis=1) for logits in (a, b))
        first_a, first_b = a.argmax(axis=1), b.argmax(axis=1)
        row = [error.max(axis=1), error.mean(axis=1), cosine, np.all(top_a == top_b, axis=1), first_a, first_b, finite]
        self._rows.add(np.stack([column.astype(np.float64) for column in row], axis=1))
        self._names += [str(name) for name in names]
        self._scale = float(np.abs(a).max(initial=self._scale))
        if labels is not None:
            self._hits.add(np.stack([(first == labels) & finite for first in (first_a, first_b)], axis=1))

    def result(self) -> ParityResult:
        """The comparison over all batches; no images raise UsageError."""
        if not self._names:
            raise UsageError("parity: no images to compare on")
        worst_error, mean_error, cosine, top, first_a, first_b, finite = self._rows.array().T
        ok = finite > 0
        count, some = len(ok), bool(ok.any())
        scale = self._scale or 1.0  # all logits zero: errors are then absolute
        differing = int(np.sum(~ok | (first_a != first_b)))
        reference_accuracy = candidate_accuracy = drop = interval = None
        if len(self._hits):
            reference_hits, candidate_hits = self._hits.array().T
            reference_accuracy, candidate_accuracy = float(reference_hits.mean()), float(candidate_hits.mean())
            drop = reference_accuracy - candidate_accuracy
            lost, won = np.sum(reference_hits & ~candidate_hits), np.sum(candidate_hits & ~reference_hits)
            interval = paired_interval(int(lost), int(won), count)
        order = sorted(range(count), key=lambda index: (bool(ok[index]), -worst_error[index], index))[:_WORST]
        worst = [
            {
                "name": self._names[index],
                "scaled_error": float(worst_error[index] / scale) if ok[index] else None,
                "reference": int(first_a[index]),
                "candidate": int(first_b[index]),
            }
            for index in order
        ]
        return ParityResult(
            images=count,
            scale=self._scale,
            max_scaled_error=float(worst_error[ok].max() / scale) if some else None,
            mean_scaled_error=float(mean_error[ok].mean() / scale) if some else None,
            p99_scaled_error=float(np.percentile(worst_error[ok], 99) / scale) if some else None,
            cosine=float(cosine[ok].min()) if some else None,
            top1_agreement=1 - differing / count,
            top5_agreement=float(np.mean(ok & (top > 0))),
            differing=differing,
            non_finite=int(np.sum(~ok)),
            reference_accuracy=reference_accuracy,
            candidate_accuracy=candidate_accuracy,
            accuracy_drop=drop,
            accuracy_drop_interval=interval,
            worst=worst,
        )


def compare(
    reference: np.ndarray, candidate: np.ndarray, labels: np.ndarray | None, names: Sequence[str]
) -> ParityResult:
    """Compare logits `[N, K]` at once; see `ParityMeter.add`."""
    meter = ParityMeter()
    meter.add(reference, candidate, labels, names)
    return meter.result()
