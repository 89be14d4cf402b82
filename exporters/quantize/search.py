"""Finds the layers that must stay in float so that the int8 file passes its gate."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from exporters.core.errors import UsageError
from exporters.core.progress import counted, working
from exporters.quantize.calibration import Calibration, Ranges, calibrate
from exporters.quantize.qdq import quantize
from exporters.quantize.selection import Network, Target
from exporters.quantize.simulation import rounded_weights, simulate
from exporters.runtimes import OnnxRuntime

Judge = Callable[[bytes], Sequence[str]]
"""The reasons why a file fails its gate; an empty sequence passes."""

_PROBES = 16  # images that rank the layers


@dataclass(frozen=True)
class QuantizeResult:
    """Result of the search.

    Args:
        data: the int8 file; where none passed, the one with the fewest failures.
        kept: names of the layers in float, most sensitive first.
        trials: number of files that were judged.
        failures: of `data`; empty if it passed.
        sensitivity: by layer, the squared error of the logits, relative to theirs, with this layer alone in 8 bits;
            empty where the first file passed.
    """

    data: bytes
    kept: tuple[str, ...]
    trials: int
    failures: tuple[str, ...]
    sensitivity: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether `data` passed."""
        return not self.failures


def search_float_layers(
    model: bytes, calibration: Calibration, judge: Judge, *, target: Target, max_trials: int = 16
) -> QuantizeResult:
    """Quantize all layers; while the file fails, keep more of the most sensitive ones in float.

    Calibration happens once. If the file with all layers in int8 fails, each layer is quantized alone and ranked by the
    error that this causes in the logits of a few calibration images. Then the first 1, 2, 3, 4, 6, 8, 12, 16… layers
    stay in float until the file passes: at most half as many again as needed.

    Args:
        model: the fp32 file.
        judge: called at most `max_trials` times, since it is expensive.
        target: the runtime that the file is for.

    Raises:
        UsageError: no trial allowed, or as `quantize`.
    """
    if max_trials < 1:
        raise UsageError(f"int8: the search needs at least one trial, not {max_trials}")
    ranges = calibrate(model, calibration)
    data = quantize(model, ranges, target=target)
    best = QuantizeResult(data, (), 1, _judged(judge, data, 1, max_trials), {})
    if best.passed or max_trials == 1:
        return best
    sensitivity = rank_layers(model, ranges, _probes(calibration), target=target)
    order = sorted(sensitivity, key=lambda name: -sensitivity[name])
    trials = 1
    for size in _sizes():
        if trials == max_trials or size >= len(order):  # with all layers in float there is nothing to quantize
            break
        kept = tuple(order[:size])
        data = quantize(model, ranges, target=target, keep_float=kept)
        trials += 1
        failures = _judged(judge, data, trials, max_trials)
        if len(failures) <= len(best.failures):
            best = QuantizeResult(data, kept, trials, failures, sensitivity)
        if not failures:
            break
    return QuantizeResult(best.data, best.kept, trials, best.failures, sensitivity)


def rank_layers(model: bytes, ranges: Ranges, images: np.ndarray, *, target: Target) -> dict[str, float]:
    """By layer, ‖logits with this layer alone in 8 bits - logits‖² / ‖logits‖² on the images.

    Infinite where a logit is not finite. Uses simulation (`exporters.quantize.simulation`).
    """
    network = Network(onnx.load_from_string(model))
    layers = network.layers
    weights = rounded_weights(quantize(model, ranges, target=target))
    reference = OnnxRuntime(model).predict(images).astype(np.float64)
    power = float(np.sum(reference**2)) or 1.0
    errors = {}
    for layer in counted(layers, "ranking layers", len(layers)):
        alone = simulate(network, ranges, weights, target, [name for name in layers if name != layer])
        difference = OnnxRuntime(alone).predict(images).astype(np.float64) - reference
        error = float(np.sum(difference**2)) / power
        errors[layer] = error if np.isfinite(error) else float("inf")
    return errors


def _judged(judge: Judge, data: bytes, trial: int, most: int) -> tuple[str, ...]:
    with working(f"try {trial} of at most {most}"):
        return tuple(judge(data))


def _probes(calibration: Calibration) -> np.ndarray:
    batches = []
    for batch in calibration.images():
        batches.append(batch)
        if sum(map(len, batches)) >= _PROBES:
            break
    return np.concatenate(batches)[:_PROBES]


def _sizes() -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24…: beyond 2, each at most half more than the one before."""
    yield 1
    for power in itertools.count(1):
        yield 2**power
        yield 3 * 2 ** (power - 1)
