from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporters.core.errors import UsageError
from exporters.parity import compare
from exporters.quantize import Calibration, Target, calibrate, search_float_layers
from exporters.quantize.search import rank_layers
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported, random_images

FIRST, SECOND = "student.layer2.0.conv1.weight", "student.layer2.0.conv2.weight"


class Judge:
    """Objects where the mean error of the logits is above a bound; counts how often it was asked."""

    def __init__(self, model: bytes, images: np.ndarray, allowed: float) -> None:
        self.reference, self.images, self.allowed = OnnxRuntime(model).predict(images), images, allowed
        self.errors: list[float] = []

    def __call__(self, data: bytes) -> Sequence[str]:
        result = compare(self.reference, OnnxRuntime(data).predict(self.images), None, [""] * len(self.images))
        assert result.mean_scaled_error is not None
        self.errors.append(result.mean_scaled_error)
        return [f"error {self.errors[-1]:.3g}"] if self.errors[-1] > self.allowed else []


def calibration(images: np.ndarray) -> Calibration:
    return Calibration(lambda: iter([images]))


@pytest.fixture(scope="module")
def sensitive(cifar: Exported) -> bytes:
    """The same function, but one channel between two layers is a thousand times larger than the others."""
    model = onnx.load_from_string(cifar.data)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in {FIRST, f"{FIRST}_bias"}:
            values[5] *= 1000
        elif tensor.name == SECOND:
            values[:, 5] /= 1000
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    data = model.SerializeToString()
    np.testing.assert_allclose(OnnxRuntime(data).predict(cifar.images), cifar.logits, atol=1e-3)
    return data


def layer(data: bytes, weight: str) -> str:
    return next(node.name for node in onnx.load_from_string(data).graph.node if weight in node.input)


@pytest.mark.parametrize(("target", "names"), [("cpu", [FIRST, SECOND]), ("tensorrt", [SECOND])])
def test_the_sensitive_layers_stay_in_float(
    cifar: Exported, sensitive: bytes, target: Target, names: list[str]
) -> None:
    """On CPUs the large channel passes through 8 bits behind the first layer and before the second one."""
    judge = Judge(sensitive, cifar.images, 0.03)
    result = search_float_layers(sensitive, calibration(cifar.images), judge, target=target)
    assert result.passed
    assert set(result.kept) == {layer(sensitive, name) for name in names}
    assert judge.errors[0] > 0.05
    assert judge.errors[-1] <= 0.03
    assert result.trials == len(judge.errors) == 1 + len(names)
    floats = {tensor.name for tensor in onnx.load_from_string(result.data).graph.initializer if tensor.data_type == 1}
    assert set(names) <= floats
    assert "student.layer3.0.conv1.weight" not in floats


def test_quantization_that_passes_at_once_takes_one_trial(cifar: Exported) -> None:
    judge = Judge(cifar.data, cifar.images, 0.05)
    result = search_float_layers(cifar.data, calibration(cifar.images), judge, target="cpu")
    assert (result.kept, result.trials, result.failures, result.sensitivity) == ((), 1, (), {})


@pytest.mark.parametrize("trials", [1, 3, 16])
def test_search_that_gives_up_returns_its_best_trial(cifar: Exported, trials: int) -> None:
    asked: list[bytes] = []

    def never(data: bytes) -> Sequence[str]:
        asked.append(data)
        return ["too far", "too slow"] if len(asked) != 2 else ["too far"]

    result = search_float_layers(cifar.data, calibration(cifar.images), never, target="cpu", max_trials=trials)
    # Eight layers: with 1, 2, 3, 4 and 6 of them in float there is something left to quantise.
    assert result.trials == len(asked) == min(trials, 6)
    assert not result.passed
    best = asked[min(1, trials - 1)]
    assert result.data == best
    assert result.failures == (("too far",) if trials > 1 else ("too far", "too slow"))
    assert len(result.kept) == (1 if trials > 1 else 0)


def test_calibration_on_noise_is_rejected(cifar: Exported) -> None:
    """Faint noise on grey gives small activations, and those of real images exceed the resulting ranges."""
    noise = np.random.default_rng(0).integers(120, 136, (20, 32, 32, 3)).astype(np.uint8)
    judge = Judge(cifar.data, cifar.images, 0.03)
    bad = search_float_layers(cifar.data, calibration(noise), judge, target="cpu", max_trials=1)
    good = search_float_layers(
        cifar.data, calibration(random_images(20, 32, seed=9)), judge, target="cpu", max_trials=1
    )
    assert good.passed
    assert bad.failures == (f"error {judge.errors[0]:.3g}",)
    assert judge.errors[0] > 2 * judge.errors[1]


def test_sensitive_layers_rank_first(cifar: Exported, sensitive: bytes) -> None:
    ranges = calibrate(sensitive, calibration(cifar.images))
    errors = rank_layers(sensitive, ranges, cifar.images[:8], target="cpu")
    assert list(errors) == [
        n.name for n in onnx.load_from_string(sensitive).graph.node if n.op_type in {"Conv", "Gemm"}
    ]
    worst = sorted(errors, key=lambda name: -errors[name])
    assert set(worst[:2]) == {layer(sensitive, FIRST), layer(sensitive, SECOND)}
    assert errors[worst[1]] > 3 * errors[worst[2]] > 0


def test_search_without_trials_is_refused(cifar: Exported) -> None:
    with pytest.raises(UsageError, match="at least one trial"):
        search_float_layers(cifar.data, calibration(cifar.images), lambda data: [], target="cpu", max_trials=0)
