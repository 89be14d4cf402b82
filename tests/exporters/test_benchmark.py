import json

import numpy as np
import pytest

from exporters.benchmark import measure
from exporters.errors import UsageError


class Counting:
    def __init__(self, name: str, calls: list[tuple[str, int]]) -> None:
        self.name, self.calls = name, calls

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.calls.append((self.name, len(images)))
        return np.zeros((len(images), 2), np.float32)


def test_rounds_are_interleaved_after_a_warm_up() -> None:
    calls: list[tuple[str, int]] = []
    runtimes = {name: Counting(name, calls) for name in ("a", "b")}
    images = np.zeros((3, 4, 4, 3), np.uint8)
    result = measure(runtimes, images, seconds=0.0, batch=5, warm_up=2, min_rounds=4)
    per_size = [("a", 1), ("a", 1), ("b", 1), ("b", 1), *[("a", 1), ("b", 1)] * 4]
    assert calls == [*per_size, *[(name, 5) for name, _ in per_size]]
    assert set(result["runtimes"]) == {"a", "b"}
    for row in result["runtimes"].values():
        assert row["rounds"] == 4
        assert 0 <= row["p50_ms"] <= row["p95_ms"]
        assert row["images_per_second"] > 0
    assert result["batch"] == 5
    json.dumps(result, allow_nan=False)


def test_nothing_to_measure() -> None:
    with pytest.raises(UsageError):
        measure({}, np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(UsageError):
        measure({"a": Counting("a", [])}, np.zeros((0, 4, 4, 3), np.uint8))
