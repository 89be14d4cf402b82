"""Calibration: measures the range of every activation by running images through the fp32 network."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx

from exporters.core.errors import GateError, UsageError
from exporters.core.files import sha256_bytes
from exporters.core.progress import working
from exporters.onnx.graph import unoptimized_session
from exporters.quantize.histogram import Histogram
from exporters.quantize.selection import Network
from exporters.runtimes.base import check_images

Method = Literal["minmax", "entropy", "percentile"]
_METHODS = ("minmax", "entropy", "percentile")
MIN_IMAGES = 8
_MEMORY = 128 * 2**20  # bytes of activations in one part; two parts are held at a time


@dataclass(frozen=True)
class Calibration:
    """Calibration images, and the method by which their activations give ranges.

    Args:
        images: returns the batches, uint8 `[B, size, size, 3]`, from the start each time it is called; the histogram
            methods call it twice. Training images, prepared as for the network.
        method: `minmax` takes the whole range; `percentile` cuts off the given share of the values at each end;
            `entropy` takes the symmetric range that loses the least information.
        percentile: above 50, at most 100; only for `percentile`.

    Raises:
        UsageError: an unknown method, or a percentile out of range.
    """

    images: Callable[[], Iterator[np.ndarray]]
    method: Method = "minmax"
    percentile: float = 99.99
    _measured: "dict[str, Ranges]" = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise UsageError(f"int8: the calibration method is one of {', '.join(_METHODS)}, not {self.method!r}")
        if not 50 < self.percentile <= 100:
            raise UsageError(f"int8: the percentile is above 50 and at most 100, not {self.percentile}")


@dataclass(frozen=True)
class Ranges:
    """Result of the calibration, for either target and any choice of layers in float.

    Args:
        model_sha256: of the fp32 file that was measured; the ranges are for no other.
        values: lowest and highest value by activation.
        images: number of images that were measured.
    """

    model_sha256: str
    values: Mapping[str, tuple[float, float]]
    images: int


def calibrate(model: bytes, calibration: Calibration) -> Ranges:
    """Measure the range of each activation that 8 bits will carry; only once for each model and `Calibration`.

    Memory: at most about 256 MiB of activations (or those of one image), and a histogram for each activation, whatever
    the number of images.

    Args:
        model: the fp32 file, input `image` uint8 `[batch, size, size, 3]`.

    Raises:
        UsageError: images that do not fit the network, fewer than 8 different ones, or only ones of a single colour.
        GateError: NaN or infinity among the activations.
    """
    digest = sha256_bytes(model)
    if digest not in calibration._measured:
        with working("calibrating"):
            values, count = _measure(model, calibration)
        calibration._measured[digest] = Ranges(digest, values, count)
    return calibration._measured[digest]


def _measure(model: bytes, calibration: Calibration) -> tuple[dict[str, tuple[float, float]], int]:
    network = Network(onnx.load_from_string(model))
    names, same = network.ranges_needed()
    session = _Activations(network.model, names)
    values, count = _extremes(session, calibration)
    if calibration.method != "minmax":
        histograms = {name: Histogram(*ends) for name, ends in values.items()}
        for activations in session.run(calibration.images()):
            for name, activation in activations.items():
                histograms[name].add(activation)
        for name, histogram in histograms.items():
            by_entropy = calibration.method == "entropy"
            values[name] = histogram.entropy() if by_entropy else histogram.percentile(calibration.percentile)
    for name in same:
        source = name
        while source in same:
            source = same[source]
        values[name] = values[source]
    return values, count


def _extremes(session: "_Activations", calibration: Calibration) -> tuple[dict[str, tuple[float, float]], int]:
    values: dict[str, tuple[float, float]] = {}
    seen: set[str] = set()
    content = 0
    count = 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal content, count
        for batch in calibration.images():
            check_images(batch, session.size)
            if len(seen) < MIN_IMAGES:
                seen.update(sha256_bytes(image.tobytes()) for image in batch)
            content += int(np.sum(np.ptp(batch, axis=(1, 2)) > 0))
            count += len(batch)
            yield batch

    for activations in session.run(watched()):
        for name, activation in activations.items():
            low, high = float(activation.min()), float(activation.max())
            if not math.isfinite(low) or not math.isfinite(high):
                raise GateError(f"int8: {name} is not finite on the calibration images")
            before = values.get(name, (low, high))
            values[name] = min(low, before[0]), max(high, before[1])
    if len(seen) < MIN_IMAGES:
        raise UsageError(
            f"int8: calibration has {len(seen)} different image{'s' * (len(seen) != 1)} of {count}; "
            f"{MIN_IMAGES} are the least",
            remedy="Give some hundred training images, all classes among them.",
        )
    if content == 0:
        raise UsageError(
            "int8: every calibration image is of a single colour", remedy="Calibrate on real training images."
        )
    return values, count


class _Activations:
    """The fp32 network with some of its activations as its outputs."""

    def __init__(self, model: onnx.ModelProto, names: list[str]) -> None:
        self._session = unoptimized_session(model, names)
        self._names = names
        self.size = int(self._session.get_inputs()[0].shape[1])
        self._part = 1

    def run(self, batches: Iterator[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Float32 activations by name, for parts of the batches that fit into memory."""
        for batch in batches:
            start = 0
            while start < len(batch):
                images = batch[start : start + self._part]
                found = dict(zip(self._names, self._session.run(self._names, {"image": images}), strict=True))
                start += len(images)
                each = sum(value.nbytes for value in found.values()) // len(images)
                self._part = max(1, _MEMORY // max(1, each))
                yield found
