"""A model in a process with limits; what a hostile one does is in `tests/exporters/test_hostile.py`."""

import numpy as np
import pytest

from exporters.core.errors import GateError
from exporters.onnx.cam import find_cam_source, with_cam
from exporters.runtimes import OnnxRuntime
from exporters.runtimes.confined import Limits, confined_logits, confined_maps
from tests.exporters.conftest import Exported


def test_logits_are_those_of_this_process(cifar: Exported) -> None:
    images = cifar.images[:8]
    together, single = confined_logits("model.onnx", (cifar.data,), images, 7)
    expected = OnnxRuntime(cifar.data, threads=1).predict(images)
    assert together.dtype == single.dtype == np.float32
    np.testing.assert_array_equal(together, expected)
    np.testing.assert_allclose(single, expected, atol=1e-4)


def test_maps_are_those_of_this_process(cifar: Exported) -> None:
    images, data = cifar.images[:8], with_cam(cifar.data, find_cam_source(cifar.data)).data
    together, single = confined_maps("model.onnx", (data,), images, 7, (8, 8))
    expected = OnnxRuntime(data, threads=1).explain(images)
    for found, wanted in zip(together, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(single.cam, expected.cam, atol=1e-4)
    with pytest.raises(GateError, match=r"model\.onnx: gives cam \[\[8, 8, 8\], \[8, 8, 8\]\], not \[8, 4, 4\]"):
        confined_maps("model.onnx", (data,), images, 7, (4, 4))


def test_what_cannot_be_loaded_or_gives_something_else_is_named(cifar: Exported) -> None:
    with pytest.raises(GateError, match=r"model\.onnx: the model cannot be loaded"):
        confined_logits("model.onnx", (b"no model",), cifar.images[:8], 7)
    with pytest.raises(GateError, match=r"model\.onnx: gives logits \[\[8, 7\], \[8, 7\]\], not \[8, 6\]"):
        confined_logits("model.onnx", (cifar.data,), cifar.images[:8], 6)


def test_limits_are_bounded_whatever_is_asked() -> None:
    small = Limits.for_model(10**6, np.zeros((8, 32, 32, 3), np.uint8))
    assert 2**30 < small.memory < 2**31 and 60 <= small.seconds < 61
    huge = Limits.for_model(2**31, np.broadcast_to(np.uint8(0), (64, 8192, 8192, 3)))
    assert huge.memory == 2**35 and huge.seconds == 600
