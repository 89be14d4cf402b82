from pathlib import Path

import pytest

pytest.importorskip("torch")

from exporters.images.preprocessing import Preprocessing
from exporters.student.student import load_student, save_student
from pipeline.explain import cost as module
from pipeline.explain.cost import measure_costs
from pipeline.models.build import build_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    model = build_model("cifar:resnet8", {}, "none", 3, 32, seed=0, purpose="student", replace_head=True)
    prepared = Preprocessing(32, 32, model.mean, model.std, "bilinear")
    save_student(model.tapped.network.eval(), model.architecture, ["a", "b", "c"], prepared, folder)
    return folder


def macs_of_resnet8(classes: int) -> int:
    """Three stages of one block at 32, 16 and 8 pixels, by hand: kernel area × input × output channels × places."""
    stem = 9 * 3 * 16 * 32**2
    blocks = sum(9 * (a * b + b * b) * s**2 for a, b, s in ((16, 16, 32), (16, 32, 16), (32, 64, 8)))
    return stem + blocks + 64 * classes  # shortcuts have no weights


def test_network_is_counted_and_timed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)
    found = measure_costs({"student": folder}, {})
    (network,) = found.networks
    assert network.parameters == sum(value.numel() for value in load_student(folder).module.parameters())
    assert network.size == (folder / "student.safetensors").stat().st_size
    assert network.macs == macs_of_resnet8(3)
    assert network.p50_ms is not None and 0 < network.p50_ms <= (network.p95_ms or 0)
    assert found.threads >= 1 and found.processor


def test_network_that_is_too_large_is_counted_and_not_timed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MULTIPLICATIONS", 1.0)
    (network,) = measure_costs({"teacher": folder}, {}).networks
    assert network.macs > 1e6 and network.p50_ms is None and network.p95_ms is None
