import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from exporters.core.errors import UsageError
from pipeline.models.clip import Clip
from pipeline.tmkd.random_prompts import random_prompt
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.weighting import (
    image_text_scores,
    label_free_labels,
    make_view_weighting,
    teacher_confidence_scores,
    text_scores,
    uniform_scores,
    view_weights,
)
from tests.pipeline.models.small_clip import small_clip

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


def test_learned_scale_is_accepted_and_unknown_score_refused() -> None:
    images, texts, labels = (torch.tensor(x) for x in draw(0, (2, 3, 4, 5)))
    learnt = image_text_scores(images, texts, labels, torch.tensor(20.0, dtype=torch.float64), "cosine")
    torch.testing.assert_close(learnt, image_text_scores(images, texts, labels, 20.0, "cosine"))
    with pytest.raises(ValueError, match=r"score[^$]*'dot'"):
        WeightingSettings(score="dot")


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
def test_indistinguishable_views_get_equal_weights(
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
        guided = view_weights(
            image_text_scores(embeddings, torch.randn(2, 2, 8).to(dtype), labels, 100.0, "log_probability"), 1.0
        )
    assert weights.dtype == guided.dtype == torch.float32
    assert weights.tolist() == [[1.0, 0.0]]
    assert guided.isfinite().all()


def test_scores_are_differentiable() -> None:
    images, texts, labels = (torch.tensor(x) for x in draw(1, (2, 3, 3, 4)))
    images.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: view_weights(image_text_scores(x, texts, labels, 3.0, "log_probability"), 0.7), images
    )


VIEWS, IMAGES, CLASSES, WIDTH = 3, 4, 5, 16


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    clip = small_clip(tmp_path_factory.mktemp("clip"))
    return clip.eval().requires_grad_(False)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Views, logits, labels, text embeddings."""
    drawn = torch.Generator().manual_seed(4)
    views = torch.rand(VIEWS, IMAGES, 3, 24, 24, generator=drawn)
    logits = torch.randn(VIEWS, IMAGES, CLASSES, generator=drawn)
    texts = torch.nn.functional.normalize(torch.randn(VIEWS, CLASSES, WIDTH, generator=drawn), dim=-1)
    return views, logits, torch.tensor([2, 0, 4, 2]), texts


def embed(clip: Clip, views: torch.Tensor) -> torch.Tensor:
    return clip.encode_image(views.flatten(0, 1)).unflatten(0, views.shape[:2])


def cosines(clip: Clip, views: torch.Tensor, texts: torch.Tensor) -> np.ndarray:
    """`[V, B, K]` in float64, view by view."""
    images = np.stack([clip.encode_image(view).double().numpy() for view in views])
    return images @ texts.double().numpy().transpose(0, 2, 1)


@pytest.mark.parametrize("score", ["log_probability", "cosine"])
def test_random_prompts_differ_from_image_text_in_the_embeddings_alone(clip: Clip, score: str):
    views, logits, labels, texts = inputs()
    random = torch.stack([clip.encode_text([random_prompt(0, v, k) for k in range(CLASSES)]) for v in "abc"])

    def scores(by: str, embeddings: torch.Tensor) -> torch.Tensor:
        weighting = make_view_weighting(WeightingSettings(by=by, score=score), embeddings, 1 / clip.temperature.item())
        return weighting(embed(clip, views), logits, labels)

    control, true = scores("random_prompts", random), scores("image_text", texts)
    assert (control - true).abs().max() > 1e-3
    assert torch.equal(scores("random_prompts", texts), true)
    np.testing.assert_allclose(view_weights(control, 1.0).sum(dim=1), np.ones(IMAGES), atol=1e-6)


@pytest.mark.parametrize("score", ["log_probability", "cosine"])
def test_image_text_uses_both_towers_and_clips_scale(clip: Clip, score: str):
    views, logits, labels, texts = inputs()
    clip.model.logit_scale.data.fill_(3.0)
    weighting = make_view_weighting(WeightingSettings(by="image_text", score=score), texts, 1 / clip.temperature.item())
    scores = weighting(embed(clip, views), logits, labels)
    scaled = np.exp(3.0) * cosines(clip, views, texts)
    values = log_softmax(scaled) if score == "log_probability" else scaled
    expected = values[:, np.arange(IMAGES), labels.numpy()].T
    assert scores.shape == (IMAGES, VIEWS)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)
    assert expected.std(axis=1).min() > 1e-3


def test_text_looks_at_no_image():
    _, logits, labels, texts = inputs()
    weighting = make_view_weighting(WeightingSettings(by="text"), texts)
    scores = weighting(None, logits, labels)
    assert torch.equal(scores, weighting(None, torch.zeros_like(logits), labels))
    centre = texts.double().numpy().mean(axis=1, keepdims=True)
    centre /= np.linalg.norm(centre, axis=-1, keepdims=True)
    expected = -(texts.double().numpy() * centre).sum(-1)[:, labels.numpy()].T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_teacher_confidence_needs_no_text():
    _, logits, labels, _ = inputs()
    scores = make_view_weighting(WeightingSettings(by="teacher_confidence"))(None, logits, labels)
    expected = log_softmax(logits.double().numpy())[:, np.arange(IMAGES), labels.numpy()].T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("score", ["log_probability", "cosine"])
def test_product_is_the_sum_of_both_teachers_log_scores(clip: Clip, score: str):
    views, logits, labels, texts = inputs()
    scale, embeddings = 1 / clip.temperature.item(), embed(clip, views)

    def scores(by: str) -> np.ndarray:
        return make_view_weighting(WeightingSettings(by=by, score=score), texts, scale)(embeddings, logits, labels)

    both = scores("image_text").double().numpy() + scores("teacher_confidence").double().numpy()
    np.testing.assert_allclose(scores("product"), both, rtol=1e-5, atol=1e-6)
    # So that weights at τ = 1 are the product of the probabilities, normalised over the views.
    products = np.exp(both - both.max(axis=1, keepdims=True))
    expected = products / products.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(view_weights(scores("product"), 1.0), expected, atol=1e-5)


def test_product_with_a_clip_that_knows_nothing_is_teacher_confidence(clip: Clip):
    views, logits, labels, texts = inputs()
    same = texts[:1, :1].expand(VIEWS, CLASSES, WIDTH)
    product = make_view_weighting(WeightingSettings(by="product"), same, 30.0)(embed(clip, views), logits, labels)
    alone = teacher_confidence_scores(logits, labels)
    torch.testing.assert_close(view_weights(product, 0.5), view_weights(alone, 0.5), atol=1e-5, rtol=0)


def test_uniform_scores_are_equal():
    _, logits, labels, _ = inputs()
    scores = make_view_weighting(WeightingSettings(by="uniform"))(None, logits, labels)
    assert torch.equal(scores, torch.zeros(IMAGES, VIEWS))


@pytest.mark.parametrize(
    ("by", "with_texts"),
    [("image_text", True), ("image_text", False), ("text", False), ("random_prompts", True), ("product", True)],
)
def test_weighting_without_its_text_teacher_is_refused(by: str, with_texts: bool):
    texts = inputs()[3] if with_texts else None
    with pytest.raises(UsageError, match=rf"distill\.weighting\.by: {by}"):
        make_view_weighting(WeightingSettings(by=by), texts)


def test_text_with_a_clip_that_could_look_looks_at_no_image() -> None:
    _, logits, labels, texts = inputs()
    scores = make_view_weighting(WeightingSettings(by="text"), texts, 100.0)(None, logits, labels)
    assert torch.equal(scores, text_scores(texts, labels))


def test_scores_stay_on_the_device_of_the_labels() -> None:
    with FakeTensorMode():  # a GPU of which nothing is computed, and which refuses operands of the CPU
        labels = torch.zeros(4, dtype=torch.int64, device="cuda")
        embeddings, texts = torch.empty(3, 4, 6, device="cuda"), torch.empty(3, 5, 6, device="cuda")
        scores = [
            uniform_scores(3, labels),
            text_scores(texts, labels),
            image_text_scores(embeddings, texts, labels, 100.0, "cosine"),
        ]
    assert {each.device.type for each in scores} == {"cuda"}


@pytest.mark.parametrize("by", ["image_text", "text"])
def test_scores_are_fp32_under_autocast(clip: Clip, by: str):
    views, logits, labels, texts = inputs()
    weighting = make_view_weighting(WeightingSettings(by=by), texts, 1 / clip.temperature.item())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = weighting(embed(clip, views), logits, labels)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, weighting(embed(clip, views), logits, labels), rtol=0.1, atol=0.5)
