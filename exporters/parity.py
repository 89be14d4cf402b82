"""Is an exported file the same classifier as the student? Measured on the data, image by image.

Errors are relative to the logits' scale, the largest absolute logit of the reference over the whole set: a bare
absolute tolerance means nothing across networks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from exporters.errors import UsageError
from exporters.runtimes import Runtime

_WORST = 10


@dataclass(frozen=True)
class ParityGate:
    """What must hold; None is not asked. A difference of one image passes whatever the two rates say."""

    max_scaled_error: float | None = None
    min_agreement: float = 0.0
    max_accuracy_drop: float = 1.0


@dataclass(frozen=True)
class ParityResult:
    """Candidate against reference on N images with K classes.

    Args:
        images: N.
        scale: largest absolute logit of the reference; what the three errors are divided by.
        max_scaled_error, mean_scaled_error: over all N·K logits; None where nothing finite could be compared.
        p99_scaled_error: 99th percentile over the images of each image's largest error.
        cosine: the lowest cosine between the two logit vectors of an image.
        top1_agreement: share of images with the same most likely class.
        top5_agreement: share of images with the same set of the min(5, K) most likely classes.
        differing: images whose most likely class differs.
        non_finite: images with a NaN or infinite logit on either side; these count as differing.
        reference_accuracy, candidate_accuracy, accuracy_drop: top-1; None without labels. The drop is negative where
            the candidate is better.
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
    worst: list[dict[str, Any]]

    @property
    def would_pass(self) -> ParityGate:
        """The tightest gate that this result passes."""
        drop = self.accuracy_drop
        return ParityGate(self.max_scaled_error, self.top1_agreement, 1.0 if drop is None else max(0.0, drop))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with the tightest gate that would have passed."""
        return {**asdict(self), "would_pass": asdict(self.would_pass)}


@dataclass
class ParityMeter:
    """Collects batch by batch; keeps a few numbers per image and no logits."""

    _names: list[str] = field(default_factory=list)
    _rows: list[np.ndarray] = field(default_factory=list)
    _hits: list[np.ndarray] = field(default_factory=list)
    _scale: float = 0.0

    def add(
        self, reference: np.ndarray, candidate: np.ndarray, labels: np.ndarray | None, names: Sequence[str]
    ) -> None:
        """Add a batch.

        Args:
            reference, candidate: logits `[B, K]`.
            labels: `[B]`, or None for every batch.
            names: B names for the list of the worst.

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
        self._rows.append(np.stack([column.astype(np.float64) for column in row], axis=1))
        self._names += [str(name) for name in names]
        self._scale = max(self._scale, float(np.abs(a).max(initial=0)))
        if labels is not None:
            self._hits.append(np.stack([(first == labels) & finite for first in (first_a, first_b)], axis=1))

    def result(self) -> ParityResult:
        """The comparison of all that was added; no images at all raise UsageError."""
        if not self._names:
            raise UsageError("parity: no images to compare on")
        worst_error, mean_error, cosine, top, first_a, first_b, finite = np.concatenate(self._rows).T
        ok = finite > 0
        count, some = len(ok), bool(ok.any())
        scale = self._scale or 1.0  # all logits zero: errors are then absolute
        differing = int(np.sum(~ok | (first_a != first_b)))
        accuracies: list[float | None] = [None, None]
        if self._hits:
            accuracies = [float(hits) / count for hits in np.concatenate(self._hits).sum(axis=0)]
        reference_accuracy, candidate_accuracy = accuracies
        drop = None
        if reference_accuracy is not None and candidate_accuracy is not None:
            drop = reference_accuracy - candidate_accuracy
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
            worst=worst,
        )


def compare(
    reference: np.ndarray, candidate: np.ndarray, labels: np.ndarray | None, names: Sequence[str]
) -> ParityResult:
    """Compare logits `[N, K]` at once; see `ParityMeter.add`."""
    meter = ParityMeter()
    meter.add(reference, candidate, labels, names)
    return meter.result()


def judge(result: ParityResult, gate: ParityGate) -> list[str]:
    """What the gate has against the result, one line each; an empty list passes."""
    failures = []
    if result.non_finite:
        failures.append(f"{result.non_finite} of {result.images} images have a NaN or infinite logit")
    error = result.max_scaled_error
    if gate.max_scaled_error is not None and error is not None and error > gate.max_scaled_error:
        failures.append(f"largest error {error:.3g} of the logits' scale, allowed {gate.max_scaled_error:.3g}")
    if result.differing > 1 and result.top1_agreement < gate.min_agreement:
        failures.append(f"top-1 agreement {result.top1_agreement:.5f}, needed {gate.min_agreement:.5f}")
    drop = result.accuracy_drop
    if drop is not None and drop > gate.max_accuracy_drop and round(drop * result.images) > 1:
        failures.append(f"top-1 accuracy drops by {drop:.5f}, allowed {gate.max_accuracy_drop:.5f}")
    return failures


@dataclass(frozen=True)
class ParityReport:
    """The whole set at the largest batch, and a first part of it again at small batches.

    Args:
        whole: all images, at the batch size of the caller's batches.
        parts: result by batch size.
        failures: what the gate has against any of them.
    """

    gate: ParityGate
    whole: ParityResult
    parts: dict[int, ParityResult]
    failures: list[str]

    @property
    def passed(self) -> bool:
        """True if nothing failed."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        return {
            "gate": asdict(self.gate),
            "passed": self.passed,
            "failures": self.failures,
            "whole": self.whole.to_json(),
            "batches": {str(size): part.to_json() for size, part in self.parts.items()},
        }


def run_parity(
    reference: Runtime,
    candidate: Runtime,
    batches: Iterable[tuple[np.ndarray, np.ndarray | None, Sequence[str]]],
    gate: ParityGate,
    *,
    part: int = 256,
    part_batches: Sequence[int] = (1, 7),
) -> ParityReport:
    """Compare two runtimes on a data set.

    Both run once over all batches as they come; the candidate then runs again over the first `part` images at each of
    `part_batches`, against the reference's logits of the first time.

    Args:
        batches: (uint8 images `[B, H, W, 3]`, labels `[B]` or None, B names), at the largest batch size.
        gate: what must hold on the whole and on the part.
        part, part_batches: 1 or more each.

    Raises:
        UsageError: no images.
    """
    meter = ParityMeter()
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray | None, Sequence[str]]] = []
    missing = part
    for images, labels, names in batches:
        logits = reference.predict(images)
        meter.add(logits, candidate.predict(images), labels, names)
        if missing > 0:
            first = slice(0, missing)
            kept.append((images[first].copy(), logits[first], None if labels is None else labels[first], names[first]))
            missing -= len(images[first])
    whole = meter.result()
    part_images, part_logits = (
        np.concatenate([entry[0] for entry in kept]),
        np.concatenate([entry[1] for entry in kept]),
    )
    part_names = [name for entry in kept for name in entry[3]]
    given = [entry[2] for entry in kept if entry[2] is not None]
    part_labels = np.concatenate(given) if given else None
    parts = {}
    for size in part_batches:
        starts = range(0, len(part_images), size)
        again = np.concatenate([candidate.predict(part_images[start : start + size]) for start in starts])
        parts[size] = compare(part_logits, again, part_labels, part_names)
    failures = judge(whole, gate)
    for size, result in parts.items():
        failures += [f"at batch {size}: {failure}" for failure in judge(result, gate)]
    return ParityReport(gate, whole, parts, failures)
