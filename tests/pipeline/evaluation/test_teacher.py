from collections.abc import Sequence

import numpy as np
import pytest
import torch

from exporters.architectures import Architecture, build
from pipeline.data.loading import Batch
from pipeline.evaluation.teacher import fusion_verdict, measure_teacher
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views import Views
from pipeline.tmkd.weighers import confidence_weigher

CLASSES, SIZE, TEMPERATURE = 4, 16, 0.2
SPECS = {"edge": {"strength": 2.0}, "high_frequency": {"strength": 2.0}}


def network() -> TappedNetwork:
    torch.manual_seed(1)
    tapped = TappedNetwork(build(Architecture("resnet8", "cifar"), CLASSES), (0.5,) * 3, (0.25,) * 3, SIZE)
    # Another scale for each image would let one class win everywhere in a net that was never trained.
    images = torch.rand(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for module in tapped.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        tapped.train()(images)
        tapped.network.linear.bias -= tapped.eval()(images).logits.mean(dim=0)
    return tapped


def make_batches(sizes: Sequence[int], shift: int = 0) -> list[Batch]:
    draws = np.random.default_rng(3)
    images = torch.from_numpy(draws.integers(0, 256, (sum(sizes), 3, SIZE, SIZE), dtype=np.uint8))
    labels = torch.from_numpy((draws.integers(0, CLASSES, sum(sizes)) + shift) % CLASSES)
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        Batch(images[start : start + size], labels[start : start + size], torch.arange(start, start + size))
        for start, size in zip(starts.tolist(), sizes, strict=True)
    ]


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def by_hand(tapped: TappedNetwork, batches: list[Batch]) -> dict:
    images = torch.cat([batch.images for batch in batches]).float() / 255
    labels = torch.cat([batch.labels for batch in batches]).numpy()
    with torch.no_grad():
        logits = np.stack([tapped(view).logits.double().numpy() for view in Views(SPECS)(images)])
    confidence = np.log(softmax(logits, axis=2))
    rows = np.arange(len(labels))

    def fused(guides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = softmax(confidence[:, rows, guides] / TEMPERATURE, axis=0)
        return weights, (weights[..., None] * logits).sum(axis=0)

    weights, label_free = fused(logits.mean(axis=0).argmax(axis=1))
    _, oracle = fused(labels)
    return {
        "images": len(labels),
        "views": dict(zip(Views(SPECS).names, (logits.argmax(2) == labels).mean(axis=1), strict=True)),
        "fused": (label_free.argmax(axis=1) == labels).mean(),
        "oracle": (oracle.argmax(axis=1) == labels).mean(),
        "mean_weights": dict(zip(Views(SPECS).names, weights.mean(axis=1), strict=True)),
    }


def measure(batches: list[Batch], specs: dict = SPECS) -> dict:
    teacher = MultiViewTeacher(network(), Views(specs), confidence_weigher, TEMPERATURE)
    return measure_teacher(teacher, batches, torch.device("cpu"))


@pytest.mark.parametrize("sizes", [[40], [16, 16, 8], [1] * 6 + [34]])
def test_against_numpy(sizes: list[int]):
    batches = make_batches(sizes)
    found, expected = measure(batches), by_hand(network().eval(), batches)
    assert found.keys() == expected.keys()
    assert found["images"] == 40
    assert list(found["views"]) == ["rgb", "edge", "high_frequency"]
    for key in ("views", "mean_weights"):
        assert found[key] == pytest.approx(expected[key], rel=1e-3)
    assert found["fused"] == pytest.approx(expected["fused"])
    assert found["oracle"] == pytest.approx(expected["oracle"])
    assert len(set(found["views"].values())) > 1
    assert found["oracle"] > found["fused"]  # or the test would not tell them apart


def test_the_fused_figure_knows_no_labels():
    """Other labels change what is right, and neither the weights nor the answers."""
    found, shifted = measure(make_batches([40])), [measure(make_batches([40], shift)) for shift in range(CLASSES)]
    for other in shifted:
        assert other["mean_weights"] == found["mean_weights"]
    # Each image is answered with one class, which is right under exactly one of the shifts.
    assert sum(other["fused"] for other in shifted) == pytest.approx(1.0)
    assert sum(other["oracle"] for other in shifted) > 1.0


def test_one_view_is_the_plain_teacher():
    batches = make_batches([40])
    found = measure(batches, {})
    assert found["views"] == {"rgb": found["fused"]} == {"rgb": found["oracle"]}
    assert found["mean_weights"] == {"rgb": 1.0}
    assert found["views"]["rgb"] == pytest.approx(by_hand(network().eval(), batches)["views"]["rgb"])


def measured(fused: float, **views: float) -> dict:
    return {"images": 1234, "views": views, "fused": fused, "oracle": 1.0}


def test_the_verdict_compares_with_the_best_view():
    assert fusion_verdict(measured(0.85, rgb=0.80, edge=0.825, hf=0.1)) == (
        "Fusion helps on 1,234 images: +2.50 points over the best view (edge)."
    )
    worse = fusion_verdict(measured(0.81, rgb=0.80, edge=0.825))
    assert worse.startswith("Fusion does NOT help on 1,234 images: -1.50 points against the best view (edge)")
    assert "NOT" in fusion_verdict(measured(0.8, rgb=0.8, edge=0.7))
    assert fusion_verdict(measured(0.8, rgb=0.8)) == "One view: an ordinary teacher."
