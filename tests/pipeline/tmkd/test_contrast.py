import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.contrast import ContrastHead, centre_anchors, image_text_contrast


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def log_sum_exp(values: np.ndarray) -> float:
    return float(values.max() + np.log(np.exp(values - values.max()).sum()))


def reference(embeddings: np.ndarray, anchors: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    scores = unit(embeddings) @ unit(anchors).T / temperature
    image_to_text = [log_sum_exp(row) - row[label] for row, label in zip(scores, labels, strict=True)]
    text_to_image = []
    for k in sorted(set(labels.tolist())):
        members = [i for i, label in enumerate(labels) if label == k]
        text_to_image.append(np.mean([log_sum_exp(scores[:, k]) - scores[i, k] for i in members]))
    return float(0.5 * np.mean(image_to_text) + 0.5 * np.mean(text_to_image))


@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 8),
    classes=st.integers(2, 6),
    width=st.integers(2, 9),
    temperature=st.floats(0.03, 2),
)
@settings(deadline=None, max_examples=50)
def test_contrast_equals_the_formula(seed: int, images: int, classes: int, width: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    embeddings, anchors = rng.normal(size=(images, width)), rng.normal(size=(classes, width))
    labels = rng.integers(0, classes, images)
    expected = reference(embeddings, anchors, labels, temperature)
    wide = image_text_contrast(torch.tensor(embeddings), torch.tensor(anchors), torch.tensor(labels), temperature)
    assert wide.item() == pytest.approx(expected, abs=1e-9)
    single = image_text_contrast(
        torch.tensor(embeddings).float(), torch.tensor(anchors).float(), torch.tensor(labels), temperature
    )
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, abs=1e-3)


def test_anchors_of_another_precision_are_taken_at_that_of_the_embeddings() -> None:
    embeddings, anchors = torch.randn(4, 5, dtype=torch.float64), torch.randn(3, 5)
    labels = torch.tensor([0, 1, 2, 1])
    for first, second in ((embeddings, anchors), (embeddings.float(), anchors.double())):
        found = image_text_contrast(first, second, labels, 0.2)
        assert found.dtype == first.dtype
        assert found.item() == pytest.approx(reference(first.numpy(), second.numpy(), labels.numpy(), 0.2), rel=1e-4)


def test_gradients_reach_embeddings_anchors_and_temperature() -> None:
    rng = np.random.default_rng(0)
    embeddings = torch.tensor(rng.normal(size=(5, 4)), requires_grad=True)
    anchors = torch.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 2, 2, 2])
    assert torch.autograd.gradcheck(
        lambda e, a, t: image_text_contrast(e, a, labels, t), (embeddings, anchors, temperature)
    )


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 8), width=st.integers(2, 9))
@settings(deadline=None, max_examples=30)
def test_anchors_are_centred_and_of_length_1(seed: int, classes: int, width: int) -> None:
    text = np.random.default_rng(seed).normal(size=(classes, width)) + 3
    centred = unit(text) - unit(text).mean(axis=0)
    anchors = centre_anchors(torch.tensor(text), centre=True).numpy()
    np.testing.assert_allclose(anchors, unit(centred), atol=1e-9)
    np.testing.assert_allclose(centre_anchors(torch.tensor(text), centre=False).numpy(), unit(text), atol=1e-9)


def test_classes_of_one_embedding_give_finite_anchors_and_a_loss_without_knowledge() -> None:
    anchors = centre_anchors(torch.ones(4, 3), centre=True)
    assert anchors.abs().max() < 1e-6
    embeddings = torch.randn(2, 3, requires_grad=True)
    loss = image_text_contrast(embeddings, torch.zeros(4, 3), torch.tensor([0, 1]), 0.07)
    loss.backward()
    assert loss.item() == pytest.approx((math.log(4) + math.log(2)) / 2, abs=1e-6)
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [2, 10])
def test_autocast_stays_finite_in_fp32(dtype: torch.dtype, classes: int) -> None:
    head = ContrastHead(6, 5)
    pooled = (torch.randn(4, 6) * 1e4).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        embeddings = head(pooled)
        loss = image_text_contrast(embeddings, torch.randn(classes, 5).to(dtype), torch.tensor([0, 1, 1, 0]), 0.01)
    loss.backward()
    assert embeddings.dtype == loss.dtype == torch.float32
    assert loss.isfinite()
    assert pooled.grad is not None
    assert pooled.grad.isfinite().all()


def test_the_head_is_one_linear_layer() -> None:
    head = ContrastHead(3, 7)
    pooled = torch.randn(2, 3)
    torch.testing.assert_close(head(pooled), pooled @ head.projection.weight.T + head.projection.bias)
