import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.weighting import (
    image_text_scores,
    label_free_labels,
    teacher_confidence_scores,
    text_scores,
    uniform_scores,
    view_weights,
)

# views, images, classes, width
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 7), st.integers(2, 9))
seeds = st.integers(0, 10_000)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def log_softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    values = values - values.max(axis=axis, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=axis, keepdims=True))


def draw(seed: int, shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    views, images, classes, width = shape
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(views, images, width)),
        rng.normal(size=(views, classes, width)),
        rng.integers(0, classes, images),
    )


@given(seed=seeds, shape=shapes, scale=st.floats(0.1, 100))
@settings(deadline=None, max_examples=30)
def test_image_text_scores_equal_the_formula(seed: int, shape: tuple[int, int, int, int], scale: float) -> None:
    images, texts, labels = draw(seed, shape)
    logits = scale * np.einsum("vbd,vkd->vbk", unit(images), unit(texts))
    for score, values in (("cosine", logits), ("log_probability", log_softmax(logits))):
        expected = np.stack([values[:, i, label] for i, label in enumerate(labels)])
        result = image_text_scores(
            torch.tensor(images, dtype=torch.float32),
            torch.tensor(texts, dtype=torch.float32),
            torch.tensor(labels),
            scale,
            score,
        )
        assert result.dtype == torch.float32
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-4 * max(1, scale))


def test_a_learnt_scale_is_taken_and_an_unknown_score_refused() -> None:
    images, texts, labels = (torch.tensor(x) for x in draw(0, (2, 3, 4, 5)))
    learnt = image_text_scores(images, texts, labels, torch.tensor(20.0, dtype=torch.float64))
    torch.testing.assert_close(learnt, image_text_scores(images, texts, labels, 20.0))
    with pytest.raises(ValueError, match="unknown score 'dot'"):
        image_text_scores(images, texts, labels, 1.0, "dot")


@given(seed=seeds, shape=shapes)
@settings(deadline=None, max_examples=30)
def test_teacher_confidence_equals_the_formula(seed: int, shape: tuple[int, int, int, int]) -> None:
    views, images, classes, _ = shape
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(views, images, classes)) * 5, rng.integers(0, classes, images)
    expected = np.stack([log_softmax(logits)[:, i, label] for i, label in enumerate(labels)])
    result = teacher_confidence_scores(torch.tensor(logits), torch.tensor(labels))
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-10)
    chosen = label_free_labels(torch.tensor(logits))
    np.testing.assert_array_equal(chosen.numpy(), logits.mean(axis=0).argmax(axis=-1))


@given(seed=seeds, shape=shapes)
@settings(deadline=None, max_examples=30)
def test_text_scores_equal_the_formula(seed: int, shape: tuple[int, int, int, int]) -> None:
    _, texts, labels = draw(seed, shape)
    centre = unit(unit(texts).mean(axis=1, keepdims=True))
    scores = -(unit(texts) * centre).sum(-1)
    result = text_scores(torch.tensor(texts), torch.tensor(labels))
    np.testing.assert_allclose(result.numpy(), scores[:, labels].T, atol=1e-9)


@given(seed=seeds, shape=shapes, temperature=st.floats(0.05, 50))
@settings(deadline=None, max_examples=30)
def test_weights_are_a_softmax_over_the_views(seed: int, shape: tuple[int, int, int, int], temperature: float) -> None:
    views, images, _, _ = shape
    scores = np.random.default_rng(seed).normal(size=(images, views)) * 4
    weights = view_weights(torch.tensor(scores, dtype=torch.float32), temperature)
    assert weights.dtype == torch.float32
    np.testing.assert_allclose(weights.numpy(), np.exp(log_softmax(scores / temperature)), atol=1e-4)
    np.testing.assert_allclose(weights.sum(-1).numpy(), 1, atol=1e-6)


@given(
    seed=seeds,
    shape=shapes,
    temperature=st.floats(0.01, 100),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(deadline=None, max_examples=40)
def test_fallbacks_to_equal_weights(
    seed: int, shape: tuple[int, int, int, int], temperature: float, dtype: torch.dtype
) -> None:
    views, images, classes, width = shape
    image_embeddings, text_embeddings, labels_array = draw(seed, shape)
    labels = torch.tensor(labels_array)
    equal = torch.full((images, views), 1 / views)

    torch.testing.assert_close(view_weights(uniform_scores(views, labels), temperature), equal)
    same_prompts = torch.tensor(text_embeddings[:1]).to(dtype).expand(views, classes, width)
    torch.testing.assert_close(view_weights(text_scores(same_prompts, labels), temperature).float(), equal)
    # λ_e = λ_h = 0: every view is the rgb image, for CLIP and for the visual teacher.
    same_images = torch.tensor(image_embeddings[:1]).to(dtype).expand(views, images, width)
    for score in ("log_probability", "cosine"):
        scores = image_text_scores(same_images, same_prompts, labels, 100.0, score)
        torch.testing.assert_close(view_weights(scores, temperature).float(), equal)
    logits = (same_images[0] @ same_prompts[0].T).expand(views, images, classes)
    torch.testing.assert_close(view_weights(teacher_confidence_scores(logits, labels), temperature).float(), equal)
    # τ_w → ∞.
    some = torch.tensor(np.random.default_rng(seed).normal(size=(images, views)) * 10)
    torch.testing.assert_close(view_weights(some, float("inf")).float(), equal)
    torch.testing.assert_close(view_weights(some, 1e9).float(), equal)


def test_a_temperature_of_0_is_refused() -> None:
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            view_weights(torch.zeros(1, 2), temperature)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_finite_at_extreme_logits(dtype: torch.dtype) -> None:
    logits = torch.tensor([[[1e4, -1e4]], [[-1e4, 1e4]]], dtype=dtype)
    labels = torch.tensor([0])
    with torch.autocast("cpu", dtype=dtype):
        weights = view_weights(teacher_confidence_scores(logits, labels), 0.1)
        embeddings = torch.randn(2, 1, 8).to(dtype)
        guided = view_weights(image_text_scores(embeddings, torch.randn(2, 2, 8).to(dtype), labels, 100.0))
    assert weights.dtype == guided.dtype == torch.float32
    assert weights.tolist() == [[1.0, 0.0]]
    assert guided.isfinite().all()


def test_scores_are_differentiable() -> None:
    images, texts, labels = (torch.tensor(x) for x in draw(1, (2, 3, 3, 4)))
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: view_weights(image_text_scores(x, texts, labels, 3.0), 0.7), images)
