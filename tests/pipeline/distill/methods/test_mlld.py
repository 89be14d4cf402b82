"""Against the equations alone: torchdistill has no such loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.distill.methods.mlld import MultiLevelLogits, alignment_losses
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of


def probabilities(logits: torch.Tensor, temperature: float) -> np.ndarray:
    z = np.exp(logits.numpy() / temperature)
    return np.asarray(z / z.sum(axis=1, keepdims=True))


def levels(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    ours, theirs = probabilities(student, temperature), probabilities(teacher, temperature)
    images, classes = ours.shape
    instance = temperature**2 * (theirs * np.log(theirs / ours)).sum() / images
    batch = sum((ours[i] @ ours[j] - theirs[i] @ theirs[j]) ** 2 / images for i in range(images) for j in range(images))
    by_class = sum(
        (ours[:, k] @ ours[:, m] - theirs[:, k] @ theirs[:, m]) ** 2 / classes
        for k in range(classes)
        for m in range(classes)
    )
    return float(instance + batch + by_class)


@given(seed=st.integers(0, 1000), images=st.integers(1, 5), classes=st.integers(2, 6))
@settings(deadline=None, max_examples=25)
def test_it_is_the_sum_of_three_levels_over_five_temperatures(seed: int, images: int, classes: int) -> None:
    student = network_output(seed, images, classes, 4, dtype=torch.float64)
    teacher = network_output(seed + 1, images, classes, 6, dtype=torch.float64)
    method = MultiLevelLogits(
        loss_settings(logits={"weight": 0.9, "temperature": 4.0}), shape_of(student), shape_of(teacher)
    )
    losses = method(student, teacher, labels_of(seed, images, classes), 0.5)
    expected = sum(levels(student.logits, teacher.logits, temperature) for temperature in (2, 3, 4, 5, 6))
    assert list(losses) == ["logits"]
    assert losses["logits"].item() == pytest.approx(0.9 * expected, rel=1e-7, abs=1e-12)


@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50))
@settings(deadline=None, max_examples=20)
def test_logits_that_differ_by_a_shift_lose_nothing(seed: int, shift: float) -> None:
    output = network_output(seed, 4, 5, 4, dtype=torch.float64)
    moved = output._replace(logits=output.logits + shift)
    method = MultiLevelLogits(loss_settings(logits={"weight": 1.0}), shape_of(output), shape_of(output))
    assert method(moved, output, labels_of(seed, 4, 5), 1.0)["logits"].item() == pytest.approx(0, abs=1e-9)


def test_the_order_of_the_images_is_seen_by_the_batch_level_alone() -> None:
    certain = torch.tensor([[20.0, 0.0, 0.0], [20.0, 0.0, 0.0], [0.0, 20.0, 0.0]], dtype=torch.float64)
    reordered = certain[[0, 2, 1]]
    batch, by_class = alignment_losses(reordered, certain, 1.0)
    assert by_class.item() == pytest.approx(0, abs=1e-12)
    assert batch.item() == pytest.approx(4 / 3, rel=1e-6)  # four of the nine pairs change between alike and not
