import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from exporters.core.errors import GateError, UnavailableError
from pipeline.models.deployment import choice, runners
from pipeline.models.deployment.choice import Decision, candidates, choose, kept_decision, multiplications
from pipeline.models.deployment.frozen import Frozen, FrozenClassifier
from tests.pipeline.models.deployment.networks import images, place, teacher

MANY = 10**9


class _Layer(Frozen):
    name, size, outputs = "layer", 8, ("map",)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.conv(images),)


def test_multiplications_are_counted_by_formula() -> None:
    assert multiplications(_Layer(), torch.rand(4, 3, 8, 8)) == 8 * 8 * 5 * 3 * 3 * 3


def test_auto_exports_where_an_epoch_is_work_enough(tmp_path: Path) -> None:
    layer = _Layer()
    images_for_it = choice.WORTH_EXPORTING / (8 * 8 * 5 * 27)
    small = replace(place(tmp_path, int(images_for_it) - 1), images=lambda: torch.rand(2, 3, 8, 8))
    large = replace(small, trained_on=int(images_for_it) + 1)
    assert candidates(layer, "auto", small) == [("torch", "fp32"), ("eager", "fp32")]
    names = ["openvino", "onnxruntime", "torch", "eager"]
    assert candidates(layer, "auto", large) == [(name, "fp32") for name in names]
    assert candidates(layer, "auto", replace(large, mixed=True)) == candidates(layer, "auto", small)


def test_auto_takes_openvino_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda: False)
    found = candidates(FrozenClassifier(teacher()), "auto", place(tmp_path, MANY))
    assert [name for name, _precision in found] == ["onnxruntime", "torch", "eager"]


def test_clip_is_in_half_precision_on_cuda_alone(tmp_path: Path) -> None:
    layer = _Layer()
    layer.takes_half = True
    cuda = replace(place(tmp_path), device=torch.device("cuda"))
    assert candidates(layer, "auto", cuda) == [("torch", "fp16"), ("torch", "fp32"), ("eager", "fp32")]
    assert candidates(layer, "torch", cuda) == [("torch", "fp16")]
    assert candidates(layer, "torch", place(tmp_path)) == [("torch", "fp32")]


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_exported_network_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda: runtime == "openvino")
    network = FrozenClassifier(teacher(stages=True))
    run, decision = choose(network, "auto", place(tmp_path, MANY))
    assert decision.runtime == runtime and decision.version == importlib.metadata.version(runtime)
    assert decision.error <= decision.bound == 1e-3
    for ours, theirs in zip(run(images(20)), runners.eager(network)(images(20)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert f"runs in {runtime}" in decision.describe() and f"{runtime} {decision.version}, " in decision.identity

    # Another attempt, or another run with this folder, goes on with what was decided.
    inode = place(tmp_path).exported.stat().st_mtime_ns
    again, kept = choose(network, "auto", place(tmp_path, 1))
    assert kept == decision and place(tmp_path).exported.stat().st_mtime_ns == inode
    assert all(torch.equal(a, b) for a, b in zip(again(images()), run(images()), strict=True))

    # A file that was damaged meanwhile is not taken, nor is a record that cannot be read.
    place(tmp_path).exported.write_bytes(b"other")
    assert choose(network, "auto", place(tmp_path, 1))[1].runtime == "torch"
    place(tmp_path).record.write_text("{}")
    assert kept_decision(place(tmp_path).record) is None


def test_decision_is_the_same_when_it_is_made_again(tmp_path: Path) -> None:
    network = FrozenClassifier(teacher())
    first, second = (choose(network, "auto", place(tmp_path / name))[1] for name in ("a", "b"))
    assert replace(first, speed=1.0) == replace(second, speed=1.0)
    assert kept_decision(place(tmp_path / "a").record) == first
    assert json.loads(place(tmp_path / "a").record.read_text())["runtime"] == "torch"


def test_told_speed_is_a_median_of_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Eager and the runtime in turn; other work disturbs one round of each.
    seconds = iter([3.0, 1.0, 60.0, 1.0, 3.0, 1.0, 3.0, 20.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0])
    monkeypatch.setattr(choice, "_seconds", lambda _run, _images: next(seconds))
    decision = choose(FrozenClassifier(teacher()), "torch", place(tmp_path))[1]
    assert decision.speed == 3.0


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (21.84, "runs in torch, 22 times as fast as eager PyTorch on the first images"),
        (9.96, "runs in torch, 10 times as fast"),
        (1.24, "runs in torch, 1.2 times as fast"),
        (1.02, "runs in torch, about as fast as eager PyTorch"),
        (0.5, "runs in torch, which took 2.0 times as long as eager PyTorch"),
    ],
)
def test_speed_is_told_with_two_digits(speed: float, words: str) -> None:
    assert words in Decision("x", "torch", "2", "fp32", 0.0, 1e-3, speed).describe()


def _spoilt(network: Frozen, shown: Tensor, *, half: bool = False) -> runners.Run:
    return lambda images: tuple(value * 1.01 for value in runners.eager(network)(images))


def test_auto_passes_over_what_does_not_reproduce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "folded", _spoilt)
    network = FrozenClassifier(teacher())
    run, decision = choose(network, "auto", place(tmp_path))
    assert decision.runtime == "eager" and decision.speed == 1.0
    assert "torch does not reproduce the visual teacher: error 1.0e-02" in decision.describe()
    assert torch.equal(run(images())[0], runners.eager(network)(images())[0])


def test_explicit_runtime_that_does_not_reproduce_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "folded", _spoilt)
    with pytest.raises(GateError, match=r"teacher\.runtime: torch does not reproduce the visual teacher") as caught:
        choose(FrozenClassifier(teacher()), "torch", place(tmp_path))
    assert caught.value.exit_code == 3 and not place(tmp_path).record.exists()


def test_auto_does_without_runtimes_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_path: Path, _device: torch.device, runtime: str) -> runners.Run:
        raise UnavailableError(f"{runtime} cannot be loaded", remedy="pip install")

    monkeypatch.setattr(runners, "write_onnx", lambda *_arguments: None)
    monkeypatch.setattr(runners, "exported", missing)
    network = FrozenClassifier(teacher())
    decision = choose(network, "auto", place(tmp_path, MANY))[1]
    assert decision.passed_over == ("openvino cannot be loaded", "onnxruntime cannot be loaded")
    for runtime in ("openvino", "onnxruntime"):
        with pytest.raises(UnavailableError, match=f"{runtime} cannot be loaded"):
            choose(network, runtime, place(tmp_path, key="other"))


def test_openvino_that_is_not_installed_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError, match="OpenVINO is not installed") as caught:
        choose(FrozenClassifier(teacher()), "openvino", place(tmp_path))
    assert caught.value.exit_code == 4 and caught.value.remedy == "pip install 'tmkd-pipeline[openvino]'"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_that_is_no_number_is_an_infinite_error(value: float) -> None:
    assert choice._largest_error([torch.tensor([value])], [torch.tensor([1.0])]) == float("inf")


def test_error_is_relative_to_each_outputs_scale() -> None:
    found = [torch.tensor([100.0, 101.0]), torch.tensor([0.5, 0.75])]
    expected = [torch.tensor([100.0, 100.0]), torch.tensor([0.5, 0.5])]
    assert choice._largest_error(found, expected) == pytest.approx(0.5)
