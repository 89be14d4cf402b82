from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.student.architectures import Architecture, build
from pipeline.data.loading import Batch
from pipeline.evaluation.answers import ask
from pipeline.evaluation.teacher import (
    WAY_OUT,
    PlainAccuracy,
    against_plain,
    fusion_verdict,
    measure_teacher,
    teacher_weaknesses,
    weights_verdict,
)
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView, HighFrequencyView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import confidence_weighting

CLASSES, SIZE, TEMPERATURE = 4, 16, 0.2
SPECS = {"edge": EdgeView(strength=2.0), "high_frequency": HighFrequencyView(strength=2.0)}


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
    guided, oracle = fused(labels)
    uniform = logits.mean(axis=0)

    def nll(values: np.ndarray) -> np.ndarray:
        return -np.log(softmax(values, axis=-1))[..., rows, labels].mean(axis=-1)

    def from_uniform(weights: np.ndarray) -> dict[str, float]:
        entropy = -(weights * np.log(weights)).sum(axis=0).mean() / np.log(3)
        return {"distance": np.abs(weights - 1 / 3).sum(axis=0).mean() / 2, "entropy": entropy}

    return {
        "images": len(labels),
        "chance": max((labels == label).mean() for label in range(CLASSES)),
        "views": dict(zip(Views(SPECS).names, (logits.argmax(2) == labels).mean(axis=1), strict=True)),
        "fused": (label_free.argmax(axis=1) == labels).mean(),
        "oracle": (oracle.argmax(axis=1) == labels).mean(),
        "mean_weights": dict(zip(Views(SPECS).names, weights.mean(axis=1), strict=True)),
        "uniform": (uniform.argmax(axis=1) == labels).mean(),
        "nll": {
            "views": dict(zip(Views(SPECS).names, nll(logits), strict=True)),
            "uniform": nll(uniform), "fused": nll(label_free), "oracle": nll(oracle),
        },
        "weights": {"fused": from_uniform(weights), "oracle": from_uniform(guided)},
    }  # fmt: skip


def measure(batches: list[Batch], specs: dict = SPECS) -> dict:
    teacher = MultiViewTeacher(network(), Views(specs), confidence_weighting, TEMPERATURE)
    return measure_teacher(teacher.rule, ask(teacher, batches, torch.device("cpu")))


@pytest.mark.parametrize("sizes", [[40], [16, 16, 8], [1] * 6 + [34]])
def test_measured_figures_equal_those_of_numpy(sizes: list[int]):
    batches = make_batches(sizes)
    found, expected = measure(batches), by_hand(network().eval(), batches)
    assert found.keys() == expected.keys()
    assert found["images"] == 40
    assert list(found["views"]) == ["rgb", "edge", "high_frequency"]
    for key in ("views", "mean_weights"):
        assert found[key] == pytest.approx(expected[key], rel=1e-3)
    assert found["fused"] == pytest.approx(expected["fused"])
    assert found["oracle"] == pytest.approx(expected["oracle"])
    assert found["uniform"] == pytest.approx(expected["uniform"])
    for key in ("uniform", "fused", "oracle", "views"):
        assert found["nll"][key] == pytest.approx(expected["nll"][key], rel=1e-3)
    for key, values in expected["weights"].items():
        assert found["weights"][key] == pytest.approx(values, rel=1e-3, abs=1e-4)
    assert len(set(found["views"].values())) > 1
    assert found["oracle"] > found["fused"]  # or the test would not tell them apart


def test_fused_accuracy_does_not_use_labels():
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
    assert len({found["nll"]["views"]["rgb"], *(found["nll"][key] for key in ("uniform", "fused", "oracle"))}) == 1
    assert found["weights"]["oracle"] == {"distance": 0.0, "entropy": 1.0}
    assert found["views"]["rgb"] == pytest.approx(by_hand(network().eval(), batches)["views"]["rgb"])


def measured(fused: float, **views: float) -> dict:
    return {"images": 1234, "chance": 0.0, "views": views, "fused": fused, "oracle": 1.0}


def test_the_verdict_compares_with_the_best_view():
    assert fusion_verdict(measured(0.85, rgb=0.80, edge=0.825, hf=0.1)) == (
        "Fusing the views gains 2.50 points over the best view (edge) on 1,234 images."
    )
    worse = fusion_verdict(measured(0.81, rgb=0.80, edge=0.825))
    assert worse.startswith(
        "Fusing the views LOWERS the teacher's accuracy: -1.50 points against the best view (edge) on 1,234 images"
    )
    assert fusion_verdict(measured(0.8, rgb=0.8, edge=0.7)) == (
        "No gain from fusing the views: as accurate as the best view (rgb) on 1,234 images."
    )
    assert fusion_verdict(measured(0.8, rgb=0.8)) == "One view: there is nothing to fuse."


def test_weights_are_compared_with_uniform_ones():
    values = {
        "images": 1234, "views": {"rgb": 0.7, "edge": 0.6, "hf": 0.5}, "uniform": 0.72, "fused": 0.715, "oracle": 0.8,
        "nll": {"uniform": 0.9, "fused": 0.91, "oracle": 0.6},
        "weights": {"fused": {"distance": 0.02, "entropy": 0.99}, "oracle": {"distance": 0.4, "entropy": 0.5}},
    }  # fmt: skip
    assert weights_verdict(values) == (
        "Distance of the views' weights from uniform: 0.02 without labels, 0.40 with labels (0 to 0.67). Fused by them"
        " instead of uniformly, the teacher changes by -0.50 points, NLL +0.010 without labels, by +8.00 points, NLL"
        " -0.300 with labels, on 1,234 images."
    )


class TestWeaknesses:
    def test_sound_teacher_has_no_weakness(self):
        assert teacher_weaknesses(measured(0.85, rgb=0.80, edge=0.825), PlainAccuracy(0.85)) == []
        assert teacher_weaknesses(measured(0.85, rgb=0.80, edge=0.825), None) == []
        assert teacher_weaknesses(measured(0.8, rgb=0.8), PlainAccuracy(0.8)) == []

    @pytest.mark.parametrize("fused", [0.825, 0.81])
    def test_fusion_must_be_above_the_best_view(self, fused: float):
        values = measured(fused, rgb=0.80, edge=0.825)
        assert teacher_weaknesses(values, None) == [fusion_verdict(values)]
        assert fusion_verdict(values).startswith(("No gain from fusing", "Fusing the views LOWERS"))

    def test_one_view_is_not_fused(self):
        assert teacher_weaknesses(measured(0.8, rgb=0.8), None) == []

    def test_a_single_view_below_the_baseline(self):
        assert teacher_weaknesses(measured(0.8, rgb=0.8), PlainAccuracy(0.8125)) == [
            "The teacher is WEAKER than the student without it on 1,234 images: 80.00 % (77.7–82.1) against 81.25 %"
            f" from labels alone. {WAY_OUT}"
        ]

    def test_teacher_and_plain_student_stand_side_by_side_with_intervals(self):
        plain = PlainAccuracy(0.9, 1234, "3 of 30 epochs")
        # By SciPy: binomtest(987, 1234) and binomtest(1111, 1234), proportion_ci(method="wilson").
        assert against_plain(measured(0.8, rgb=0.8), plain) == (
            "on 1,234 validation images: the teacher 80.00 % (77.7–82.1), the student 90.00 % (88.2–91.6) from labels"
            " alone, 3 of 30 epochs"
        )
        (weakness,) = teacher_weaknesses(measured(0.8, rgb=0.8), plain)
        assert "against 90.00 % (88.2–91.6) from labels alone, 3 of 30 epochs." in weakness

    def test_of_several_views_the_fused_teacher_counts(self):
        (weakness,) = teacher_weaknesses(measured(0.83, rgb=0.70, edge=0.82), PlainAccuracy(0.84))
        assert (
            weakness.startswith("The teacher, fused, is WEAKER")
            and "83.00 % (80.8–85.0) against 84.00 % from" in weakness
        )
        # The student does not learn from the rgb view alone, which is below it.
        assert teacher_weaknesses(measured(0.83, rgb=0.70, edge=0.82), PlainAccuracy(0.75)) == []

    def test_both_weaknesses_are_reported_despite_a_high_oracle(self):
        values = measured(0.7, rgb=0.8, edge=0.6) | {"oracle": 0.99}
        first, second = teacher_weaknesses(values, PlainAccuracy(0.9))
        assert "LOWERS" in first and "WEAKER" in second

    def test_teacher_at_chance_level_is_reported(self):
        # 95 % Wilson interval of 12 in 48 by hand: 14.9 to 38.8 %.
        values = measured(0.25, rgb=0.25) | {"images": 48, "chance": 0.25}
        (weakness,) = teacher_weaknesses(values, None)
        assert weakness == (
            "The teacher is at CHANCE LEVEL, with nothing to teach: 25.00 % (95 % interval 14.9 to 38.8) on 48"
            " validation images, where always answering the commonest class gives 25.00 %."
        )
        assert teacher_weaknesses(values | {"chance": 0.14}, None) == []
        first, _second = teacher_weaknesses(values | {"views": {"rgb": 0.25, "edge": 0.2}}, None)
        assert first.startswith("The teacher, fused, is at CHANCE LEVEL")
        # 3 in 12: 8.9 to 53.2 %.
        (weakness,) = teacher_weaknesses(values | {"images": 12}, None)
        assert weakness.startswith("So few images cannot show whether the teacher is better than chance: 25.00 %")

    @given(
        counts=st.lists(st.integers(0, 500), min_size=1, max_size=4),
        fused=st.integers(0, 500),
        baseline=st.none() | st.integers(0, 500),
    )
    @settings(deadline=None, max_examples=100)
    def test_weaknesses_agree_with_integer_counts(self, counts: list[int], fused: int, baseline: int | None):
        fused = counts[0] if len(counts) == 1 else fused
        values = measured(fused / 500, **{f"v{number}": count / 500 for number, count in enumerate(counts)})
        values["chance"] = -1.0
        weaknesses = teacher_weaknesses(values, None if baseline is None else PlainAccuracy(baseline / 500))
        expected = (len(counts) > 1 and fused <= max(counts)) + (baseline is not None and fused < baseline)
        assert len(weaknesses) == expected
        assert all(sentence.endswith((".", "weights.")) for sentence in weaknesses)
