"""A short measurement in this process: what a bundle says of its speed, and what a variant is judged by."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from exporters.benchmark.machine import describe_machine
from exporters.benchmark.rounds import Clock, InProcess, summarise, time_rounds
from exporters.core.errors import UsageError
from exporters.runtimes import Runtime


def measure(
    runtimes: Mapping[str, Runtime],
    images: np.ndarray,
    *,
    seconds: float = 2.0,
    batch: int = 16,
    min_rounds: int = 5,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Latency at batch 1 and throughput at `batch`, rounds interleaved over the runtimes.

    Args:
        runtimes: by name.
        images: uint8 `[N, H, W, 3]`, N of 1 or more; repeated where `batch` needs more.
        seconds: about the cost of the whole measurement, warm-up apart; at least `min_rounds` rounds are run.
        clock: seconds, rising.

    Returns:
        {"machine", "batch", "runtimes": {name: {"p50_ms", "p95_ms", "p99_ms", "calls", "rounds", "round_p50_ms",
        "images_per_second"}}}; all but the last are of one image, `images_per_second` follows from the median time of
        a batch. `is_useful` compares two of these runtimes.

    Raises:
        UsageError: no runtimes or no images.
    """
    if not runtimes or len(images) == 0:
        raise UsageError("benchmark: needs a runtime and an image")
    timed = {name: InProcess(runtime, images, clock) for name, runtime in runtimes.items()}
    share = seconds / (2 * len(timed))
    single, many = (
        {
            name: summarise(rounds, size)
            for name, rounds in time_rounds(timed, size, seconds=share, min_rounds=min_rounds, clock=clock).items()
        }
        for size in (1, batch)
    )
    return {
        "machine": describe_machine(),
        "batch": batch,
        "runtimes": {name: {**single[name], "images_per_second": many[name]["images_per_second"]} for name in runtimes},
    }
