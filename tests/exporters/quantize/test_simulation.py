"""The simulation has the same error as the int8 file."""

import numpy as np
import onnx
import pytest

from exporters.quantize import Ranges, Target, quantize
from exporters.quantize.selection import Network
from exporters.quantize.simulation import rounded_weights, simulate
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported
from tests.exporters.quantize.conftest import arrays


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_simulated_error_matches_the_int8_file(cifar: Exported, cifar_ranges: Ranges, target: Target) -> None:
    network = Network(onnx.load_from_string(cifar.data))
    weights = rounded_weights(quantize(cifar.data, cifar_ranges, target=target))
    for layer in network.layers:
        keep = [name for name in network.layers if name != layer]
        simulated = simulate(network, cifar_ranges, weights, target, keep)
        onnx.checker.check_model(onnx.load_from_string(simulated))
        file = quantize(cifar.data, cifar_ranges, target=target, keep_float=keep)
        ours, exact = (OnnxRuntime(data).predict(cifar.images) - cifar.logits for data in (simulated, file))
        assert np.linalg.norm(ours - exact) < 0.1 * np.linalg.norm(exact) > 0


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_rounded_weights_differ_by_at_most_half_a_step(
    shufflenet: Exported, shufflenet_ranges: Ranges, target: Target
) -> None:
    network = Network(onnx.load_from_string(shufflenet.data))
    weights = rounded_weights(quantize(shufflenet.data, shufflenet_ranges, target=target))
    assert set(weights) == {node.input[1] for node in network.model.graph.node if node.name in network.layers}
    found = arrays(shufflenet.data)
    depthwise = set(network.depthwise())
    for name, value in weights.items():
        levels = 127 if target == "tensorrt" or name in depthwise else 64
        axis = 0 if value.ndim == 4 else 1 - int(value.shape[0] != 1024)
        steps = np.abs(found[name]).max(axis=tuple(set(range(value.ndim)) - {axis}), keepdims=True) / levels
        assert (np.abs(value - found[name]) <= 0.501 * steps).all()
