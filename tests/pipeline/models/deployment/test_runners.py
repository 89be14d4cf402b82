from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.core.errors import UnavailableError
from pipeline.models.deployment import runners
from pipeline.models.deployment.frozen import FrozenClassifier
from tests.pipeline.models.deployment.networks import images, teacher


def test_eager_is_the_network_to_the_bit() -> None:
    shown = images(40)
    found = runners.eager(FrozenClassifier(teacher()))(shown)
    with torch.no_grad():
        output = teacher()(shown)
    assert torch.equal(found[0], output.logits) and torch.equal(found[2], output.feature_map)


def test_folded_network_gives_the_same_in_parts() -> None:
    network, shown = FrozenClassifier(teacher()), images(2 * runners._AT_ONCE + 1)
    run = runners.folded(network, images(3))
    for ours, theirs in zip(run(shown), runners.eager(network)(shown), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) > 0  # the network is left alone


def test_most_images_that_go_through_at_once_are_bounded() -> None:
    network, seen = FrozenClassifier(teacher()), []
    run = runners.folded(network, images(3))
    handle = nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if isinstance(module, FrozenClassifier) else None
    )
    run(images(2 * runners._AT_ONCE + 1))
    handle.remove()
    assert seen == [runners._AT_ONCE, runners._AT_ONCE, 1]


def test_half_precision_is_near_and_not_the_same() -> None:
    network, shown = FrozenClassifier(teacher()), images()
    half, full = runners.folded(network, shown, half=True)(shown)[0], runners.folded(network, shown)(shown)[0]
    error = (half.float() - full).abs().max() / full.abs().max()
    assert half.dtype == torch.float16 and 0 < error < 1e-2


def test_folded_outputs_can_be_used_where_gradients_are_taken() -> None:
    """Tensors of inference mode may not be saved for a backward pass as they are; what is fused of them may."""
    logits = runners.folded(FrozenClassifier(teacher()), images())(images())[0]
    ours = torch.zeros_like(logits).requires_grad_()
    with torch.no_grad():
        fused = logits * torch.ones(())
    (ours * fused).sum().backward()
    assert torch.equal(ours.grad, fused)


@pytest.mark.parametrize(("runtime", "device", "where"), [("tensorrt", "cpu", "GPUs"), ("openvino", "cuda", "the CPU")])
def test_runtime_of_other_devices_is_refused(runtime: str, device: str, where: str) -> None:
    with pytest.raises(
        UnavailableError, match=rf"teacher\.runtime: {runtime} runs on .*{where} alone, and the device here is {device}"
    ) as caught:
        runners.find_library(runtime, device)
    assert caught.value.exit_code == 4 and "auto" in str(caught.value.remedy)


def test_runtimes_that_have_something_for_a_device() -> None:
    for runtime, device in (("tensorrt", "cuda"), ("onnxruntime", "cpu"), ("onnxruntime", "cuda"), ("openvino", "cpu")):
        runners.check_device(runtime, device)
    providers = [runners._provider_of(*pair) for pair in (("tensorrt", "cuda"), ("onnxruntime", "cpu"))]
    assert providers == ["tensorrt", "cpu"] and runners._provider_of("onnxruntime", "cuda") == "cuda"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_exported_network_gives_the_same_in_parts(tmp_path: Path, runtime: str) -> None:
    network, shown = FrozenClassifier(teacher(stages=True)), images(2 * runners._AT_ONCE + 1)
    runners.write_onnx(network, tmp_path / "net.onnx")
    run = runners.exported(tmp_path / "net.onnx", torch.device("cpu"), runtime)
    for ours, theirs in zip(run(shown), runners.eager(network)(shown), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_network_that_cannot_be_copied_is_unavailable() -> None:
    network = FrozenClassifier(teacher())
    network.grown = torch.ones(1, requires_grad=True) * 2  # not a leaf
    with pytest.raises(UnavailableError, match="the visual teacher runs in eager PyTorch alone"):
        runners.folded(network, images())


def test_network_that_does_not_compile_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda _network: broken)
    with pytest.raises(UnavailableError, match=r"torch\.compile fails on the visual teacher \(no compiler\)"):
        runners.compiled(FrozenClassifier(teacher()), images())
