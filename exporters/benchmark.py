"""How fast a student answers, each runtime measured in turn so that a busy machine is unfair to all of them alike."""

import platform
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from exporters.errors import UsageError
from exporters.runtimes import Runtime


def measure(
    runtimes: Mapping[str, Runtime],
    images: np.ndarray,
    *,
    seconds: float = 2.0,
    batch: int = 16,
    warm_up: int = 3,
    min_rounds: int = 5,
) -> dict[str, Any]:
    """Latency at batch 1 and throughput at `batch`, rounds interleaved over the runtimes.

    Args:
        runtimes: by name.
        images: uint8 `[N, H, W, 3]`, N of 1 or more; repeated where `batch` needs more.
        seconds: about the cost of the whole measurement; at least `min_rounds` rounds are run.
        warm_up: calls per runtime and batch size that are not counted.

    Returns:
        {"machine", "batch", "runtimes": {name: {"p50_ms", "p95_ms", "images_per_second", "rounds"}}}; latencies are of
        one image, `images_per_second` follows from the median time of a batch.

    Raises:
        UsageError: no runtimes or no images.
    """
    if not runtimes or len(images) == 0:
        raise UsageError("benchmark: needs a runtime and an image")
    single = images[:1]
    many = np.resize(images, (batch, *images.shape[1:]))
    latencies = _rounds(runtimes, single, seconds / 2, warm_up, min_rounds)
    batches = _rounds(runtimes, many, seconds / 2, warm_up, min_rounds)
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "batch": batch,
        "runtimes": {
            name: {
                "p50_ms": round(float(np.percentile(latencies[name], 50)) * 1000, 4),
                "p95_ms": round(float(np.percentile(latencies[name], 95)) * 1000, 4),
                "images_per_second": round(batch / float(np.median(batches[name])), 2),
                "rounds": len(latencies[name]),
            }
            for name in runtimes
        },
    }


def _rounds(
    runtimes: Mapping[str, Runtime], images: np.ndarray, seconds: float, warm_up: int, min_rounds: int
) -> dict[str, list[float]]:
    for runtime in runtimes.values():
        for _ in range(warm_up):
            runtime.predict(images)
    times: dict[str, list[float]] = {name: [] for name in runtimes}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < min_rounds or time.perf_counter() < end:
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime.predict(images)
            times[name].append(time.perf_counter() - start)
        rounds += 1
    return times
