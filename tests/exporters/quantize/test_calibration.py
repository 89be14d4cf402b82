import dataclasses
import math
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporters.core.errors import GateError, UsageError
from exporters.quantize import Calibration, Ranges, calibrate
from exporters.quantize import calibration as module
from exporters.quantize.histogram import BINS
from tests.exporters.conftest import Exported, random_images
from tests.exporters.quantize.conftest import activation, in_batches


def test_minmax_is_the_range_of_the_activations(cifar: Exported, cifar_ranges: Ranges) -> None:
    assert cifar_ranges.images == len(cifar.images)
    assert {"add", "relu", "relu_6", "mean", "getitem_6"} <= set(cifar_ranges.values)
    assert "logits" not in cifar_ranges.values
    for name in ("add", "relu", "relu_6", "mean", "getitem_6"):
        values = activation(cifar.data, name, cifar.images)
        np.testing.assert_allclose(cifar_ranges.values[name], (values.min(), values.max()), rtol=1e-5, atol=1e-5)


def test_a_relu_gives_its_input_its_own_range(cifar_ranges: Ranges) -> None:
    assert cifar_ranges.values["getitem"] == cifar_ranges.values["relu"]
    assert cifar_ranges.values["relu"][0] >= 0


def test_percentiles_match_numpy(cifar: Exported) -> None:
    ranges = calibrate(cifar.data, Calibration(lambda: iter([cifar.images]), "percentile", 99.5))
    for name in ("relu", "relu_6", "getitem_6", "mean"):
        values = activation(cifar.data, name, cifar.images).astype(np.float64)
        width = np.ptp(values) / BINS
        high = np.percentile(values, [99.5], method="inverted_cdf")[0]
        low = np.percentile(values, [0.5], method="inverted_cdf")[0]
        assert ranges.values[name][1] == pytest.approx(high, abs=1.5 * width)
        assert ranges.values[name][0] == pytest.approx(low, abs=3 * width)
    assert ranges.values["relu"][1] < activation(cifar.data, "relu", cifar.images).max()


def test_ranges_depend_neither_on_batches_nor_on_memory(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    def ranges(size: int) -> list[tuple[float, float]]:
        found = calibrate(cifar.data, Calibration(lambda: in_batches(cifar.images, size), "percentile", 99.0))
        return list(found.values.values())

    whole = ranges(20)
    np.testing.assert_allclose(ranges(7), whole, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(module, "_MEMORY", 1)
    np.testing.assert_allclose(ranges(20), whole, rtol=1e-3, atol=1e-3)


def test_memory_bounds_the_images_that_run_together(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    session = module._Activations(onnx.load_from_string(cifar.data), ["relu"])
    each = activation(cifar.data, "relu", cifar.images[:1]).nbytes
    monkeypatch.setattr(module, "_MEMORY", 3 * each + 1)
    sizes = [len(found["relu"]) for found in session.run(iter([cifar.images]))]
    assert sizes == [1, 3, 3, 3, 3, 3, 3, 1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (lambda: random_images(7, 32), "7 different images of 7"),
        (lambda: np.repeat(random_images(1, 32), 100, axis=0), "1 different image of 100"),
        (lambda: np.arange(40, dtype=np.uint8).repeat(32 * 32 * 3).reshape(40, 32, 32, 3), "a single colour"),
        (lambda: random_images(20, 64), r"need uint8 images \[batch, 32, 32, 3\]"),
        (lambda: random_images(20, 32).astype(np.float32), "not float32"),
    ],
)
def test_unsuitable_images_are_refused(cifar: Exported, images: Callable[[], np.ndarray], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        calibrate(cifar.data, Calibration(lambda: iter([images()])))


def test_calibration_without_images_is_refused(cifar: Exported) -> None:
    with pytest.raises(UsageError, match="0 different images of 0"):
        calibrate(cifar.data, Calibration(lambda: iter([])))


def test_options_are_checked(cifar: Exported) -> None:
    right = Calibration(lambda: iter([cifar.images]))
    with pytest.raises(UsageError, match="minmax, entropy, percentile, not 'max'"):
        dataclasses.replace(right, method="max")  # type: ignore[arg-type]
    for percentile in (50.0, 100.1, math.nan):
        with pytest.raises(UsageError, match="above 50 and at most 100"):
            dataclasses.replace(right, percentile=percentile)


def test_overflowing_network_is_refused(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    for tensor in model.graph.initializer:
        if tensor.name == "student.layer2.0.conv1.weight":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1e38), tensor.name))
    with pytest.raises(GateError, match="not finite"):
        calibrate(model.SerializeToString(), Calibration(lambda: iter([cifar.images])))
