"""The images on which candidates are judged, with the reference's logits, which are computed once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exporters.core.errors import UsageError
from exporters.core.growing import GrowingArray
from exporters.core.progress import counted
from exporters.parity.gate import ParityGate
from exporters.parity.judging import judge
from exporters.parity.maps import MapMeter, MapReport, MapResult, report_maps
from exporters.parity.measure import ParityMeter, ParityResult, compare
from exporters.runtimes import Explained, Explainer, Runtime

Batch = tuple[np.ndarray, np.ndarray | None, Sequence[str]]
"""Uint8 images `[B, H, W, 3]`, labels `[B]` or None, B names."""

Answer = tuple[np.ndarray | None, Sequence[str], Sequence[np.ndarray]]
"""Of a batch: labels `[B]` or None, B names, and the logits `[B, K]` of each of several runtimes."""

AskTogether = Callable[[Sequence[Runtime]], Iterable[Answer] | None]
"""Runtimes to their answers on each batch, in order, with the help of other processes; None where these cannot help."""


@dataclass(frozen=True)
class ParityReport:
    """Comparison of the whole set at the largest batch size, and of its first images again at small batch sizes.

    Args:
        whole: result over all images, at the batch size of the given batches.
        parts: result by batch size.
        failures: bounds of the gate that any of them exceeds, those of the maps among them.
        maps: the class activation maps' part; None where the files have none.
    """

    gate: ParityGate
    whole: ParityResult
    parts: dict[int, ParityResult]
    failures: list[str]
    maps: MapReport | None = None

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
            **({} if self.maps is None else {"cam": self.maps.to_json()}),
        }


class Evidence:
    """Judges any number of candidates on the same images against one reference.

    The reference runs once; its logits stay in memory, `[N, K]` float32. The images are read again for each candidate.

    Args:
        reference: the student.
        batches: returns the same batches at every call, at the largest batch size.
        part, part_batches: number of images that are run again, and at which batch sizes; 1 or more each.
        ask_together: answers as this process alone would, each process looking at a part of the batches. None: alone.
        maps: compare class activation maps too, in a pass of their own; reference and candidates must give them.

    Attributes:
        has_maps: as `maps`.
        on_result: while set, called with the result over all images of each candidate that `judged` judges.
    """

    def __init__(
        self,
        reference: Runtime,
        batches: Callable[[], Iterable[Batch]],
        *,
        part: int = 256,
        part_batches: Sequence[int] = (1, 7),
        ask_together: AskTogether | None = None,
        maps: bool = False,
    ) -> None:
        self._reference = reference
        self._batches = batches
        self._part = part
        self._part_batches = tuple(part_batches)
        self._ask_together = ask_together
        self.has_maps = maps
        self.on_result: Callable[[ParityResult], None] | None = None
        self._logits: list[np.ndarray] = []
        self._first: _Part | None = None
        self._complete = False

    def with_reference(self) -> Iterator[tuple[Batch, np.ndarray]]:
        """Each batch with the reference's logits `[B, K]`."""
        if self._complete:
            yield from zip(self._batches(), self._logits, strict=True)
            return
        found = GrowingArray()
        for batch in self._batches():
            logits = self._reference.predict(batch[0])
            found.add(logits)
            yield batch, logits
        self._logits, self._complete = found.parts(), True

    def reference_logits(self, images: np.ndarray) -> np.ndarray:
        """The reference's logits `[B, K]`, float32, for other images, uint8 `[B, H, W, 3]`."""
        return self._reference.predict(images)

    def compare(self, candidate: Runtime) -> ParityResult:
        """Compare the candidate on all images at the largest batch size."""
        meter = ParityMeter()
        for labels, names, (reference, logits) in self._answers(candidate):
            meter.add(reference, logits, labels, names)
        return meter.result()

    def report(self, candidate: Runtime, gate: ParityGate) -> ParityReport:
        """Compare the candidate on all images at the largest batch size, and on the first ones at small batch sizes.

        Raises:
            UsageError: no images.
        """
        whole = self.compare(candidate)
        parts = self._at_small_batches(candidate)
        failures = [*judge(whole, gate), *_judge_parts(parts, gate)]
        if not self.has_maps:
            return ParityReport(gate, whole, parts, failures)
        maps = self._report_maps(candidate, gate)
        return ParityReport(gate, whole, parts, [*failures, *maps.failures], maps)

    def compare_maps(self, candidate: Runtime) -> MapResult:
        """Compare the class activation maps of the candidate on all images at the largest batch size.

        Raises:
            UsageError: the reference or the candidate gives none, or none of this size.
        """
        meter = MapMeter()
        for images, _, _ in self._batches():
            meter.add(_explain(self._reference, images), _explain(candidate, images))
        return meter.result()

    def reference_maps(self, images: np.ndarray) -> np.ndarray:
        """The reference's class activation maps `[B, h, w]`, float32, for other images, uint8 `[B, H, W, 3]`."""
        return _explain(self._reference, images).cam

    def failures(self, candidate: Runtime, gate: ParityGate) -> list[str]:
        """Bounds of the gate that the candidate exceeds, one line each, as `judged` finds them."""
        return self.judged(candidate, gate)[1]

    def judged(self, candidate: Runtime, gate: ParityGate) -> tuple[ParityResult, list[str]]:
        """Judge the candidate on all images and, where it passes, at small batch sizes, as `report` does.

        Returns:
            The result over all images, and the bounds of the gate that it exceeds, one line each; empty if it passes.

        Raises:
            UsageError: no images.
        """
        whole = self.compare(candidate)
        if self.on_result is not None:
            self.on_result(whole)
        return whole, judge(whole, gate) or _judge_parts(self._at_small_batches(candidate), gate)

    def _answers(self, candidate: Runtime) -> Iterator[Answer]:
        """Of each batch, the logits of the reference and of the candidate."""
        asked = (candidate,) if self._complete else (self._reference, candidate)
        together = None if self._ask_together is None else self._ask_together(asked)
        if together is None:
            for (images, labels, names), logits in self.with_reference():
                yield labels, names, (logits, candidate.predict(images))
            return
        answers = list(together)
        if not self._complete:
            self._logits, self._complete = [each[0] for _, _, each in answers], True
        for (labels, names, each), reference in zip(answers, self._logits, strict=True):
            yield labels, names, (reference, each[-1])

    def _first_images(self) -> "_Part":
        """The first images, read again once and kept; the reference has answered."""
        if self._first is None:
            kept: list[_Part] = []
            missing = self._part
            for (images, labels, names), logits in self.with_reference():
                first = slice(0, missing)
                kept.append((images[first], logits[first], None if labels is None else labels[first], names[first]))
                missing -= len(images)
                if missing <= 0:
                    break
            all_images, all_logits = (np.concatenate([entry[index] for entry in kept]) for index in (0, 1))
            given = [entry[2] for entry in kept if entry[2] is not None]
            all_names = [name for entry in kept for name in entry[3]]
            self._first = all_images, all_logits, np.concatenate(given) if given else None, all_names
        return self._first

    def _at_small_batches(self, candidate: Runtime) -> dict[int, ParityResult]:
        images, logits, labels, names = self._first_images()
        parts = {}
        for size in self._part_batches:
            starts = range(0, len(images), size)
            repeated = counted(starts, f"again at batch {size}", len(starts))
            again = np.concatenate([candidate.predict(images[start : start + size]) for start in repeated])
            parts[size] = compare(logits, again, labels, names)
        return parts

    def _report_maps(self, candidate: Runtime, gate: ParityGate) -> MapReport:
        whole = self.compare_maps(candidate)
        images = self._first_images()[0]
        expected = _explain(self._reference, images)
        parts = {}
        for size in self._part_batches:
            meter = MapMeter()
            for start in range(0, len(images), size):
                own = slice(start, start + size)
                meter.add(Explained(expected.logits[own], expected.cam[own]), _explain(candidate, images[own]))
            parts[size] = meter.result()
        return report_maps(whole, parts, gate)


def _explain(runtime: Runtime, images: np.ndarray) -> Explained:
    if not isinstance(runtime, Explainer):
        raise UsageError("parity: a runtime without class activation maps")
    return runtime.explain(images)


_Part = tuple[np.ndarray, np.ndarray, np.ndarray | None, Sequence[str]]
"""Images, the reference's logits, labels and names."""


def _judge_parts(parts: Mapping[int, ParityResult], gate: ParityGate) -> list[str]:
    return [f"at batch {size}: {failure}" for size, result in parts.items() for failure in judge(result, gate)]
