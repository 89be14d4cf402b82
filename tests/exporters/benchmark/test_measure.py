"""What a bundle says of its speed."""

import json

import pytest

from exporters.benchmark import measure
from exporters.core.errors import UsageError
from tests.exporters.benchmark.fakes import Clock, Recording, images


def test_latency_is_of_one_image_and_throughput_of_a_batch() -> None:
    clock, calls = Clock(), []
    runtimes = {"a": Recording("a", calls, clock, 0.5), "b": Recording("b", calls, clock, 0.25)}
    result = measure(runtimes, images(3), seconds=0.0, batch=5, min_rounds=6, clock=clock)
    sizes = [size for _, size in calls]
    assert sizes == sorted(sizes) and set(sizes) == {1, 5}
    assert set(result) == {"machine", "batch", "runtimes"} and result["batch"] == 5
    for name, seconds in (("a", 0.5), ("b", 0.25)):
        assert result["runtimes"][name] == {
            "p50_ms": 1000 * seconds, "p95_ms": 1000 * seconds, "p99_ms": 1000 * seconds, "calls": 6, "rounds": 6,
            "round_p50_ms": [1000 * seconds] * 6, "images_per_second": 5 / seconds,
        }  # fmt: skip
    json.dumps(result, allow_nan=False)


def test_measuring_nothing_is_refused() -> None:
    with pytest.raises(UsageError):
        measure({}, images(1))
    with pytest.raises(UsageError):
        measure({"a": Recording("a", [], Clock())}, images(0))
