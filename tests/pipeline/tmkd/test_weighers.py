import numpy as np
import pytest
import torch

from exporters.core.errors import UsageError
from pipeline.models.clip import Clip
from pipeline.tmkd.random_prompts import random_prompt
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.weighers import make_weigher
from pipeline.tmkd.weighting import view_weights
from tests.pipeline.models.small_clip import small_clip

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


def log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("score", ["log_probability", "cosine"])
def test_random_prompts_differ_from_image_text_in_the_embeddings_alone(clip: Clip, score: str):
    views, logits, labels, texts = inputs()
    random = torch.stack([clip.encode_text([random_prompt(0, v, k) for k in range(CLASSES)]) for v in "abc"])

    def scores(by: str, embeddings: torch.Tensor) -> torch.Tensor:
        weigher = make_weigher(WeightingSettings(by=by, score=score), embeddings, 1 / clip.temperature.item())
        return weigher(embed(clip, views), logits, labels)

    control, true = scores("random_prompts", random), scores("image_text", texts)
    assert (control - true).abs().max() > 1e-3
    assert torch.equal(scores("random_prompts", texts), true)
    np.testing.assert_allclose(view_weights(control).sum(dim=1), np.ones(IMAGES), atol=1e-6)


@pytest.mark.parametrize("score", ["log_probability", "cosine"])
def test_image_text_asks_both_towers_with_the_scale_of_clip(clip: Clip, score: str):
    views, logits, labels, texts = inputs()
    clip.model.logit_scale.data.fill_(3.0)
    weigher = make_weigher(WeightingSettings(by="image_text", score=score), texts, 1 / clip.temperature.item())
    scores = weigher(embed(clip, views), logits, labels)
    scaled = np.exp(3.0) * cosines(clip, views, texts)
    values = log_softmax(scaled) if score == "log_probability" else scaled
    expected = values[:, np.arange(IMAGES), labels.numpy()].T
    assert scores.shape == (IMAGES, VIEWS)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)
    assert expected.std(axis=1).min() > 1e-3


def test_text_looks_at_no_image():
    _, logits, labels, texts = inputs()
    weigher = make_weigher(WeightingSettings(by="text"), texts)
    scores = weigher(None, logits, labels)
    assert torch.equal(scores, weigher(None, torch.zeros_like(logits), labels))
    centre = texts.double().numpy().mean(axis=1, keepdims=True)
    centre /= np.linalg.norm(centre, axis=-1, keepdims=True)
    expected = -(texts.double().numpy() * centre).sum(-1)[:, labels.numpy()].T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_teacher_confidence_needs_no_text():
    _, logits, labels, _ = inputs()
    scores = make_weigher(WeightingSettings(by="teacher_confidence"))(None, logits, labels)
    expected = log_softmax(logits.double().numpy())[:, np.arange(IMAGES), labels.numpy()].T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_uniform_prefers_nothing():
    _, logits, labels, _ = inputs()
    scores = make_weigher(WeightingSettings(by="uniform"))(None, logits, labels)
    assert torch.equal(scores, torch.zeros(IMAGES, VIEWS))


@pytest.mark.parametrize(
    ("by", "with_texts"), [("image_text", True), ("image_text", False), ("text", False), ("random_prompts", True)]
)
def test_a_text_teacher_that_cannot_give_what_is_asked(by: str, with_texts: bool):
    texts = inputs()[3] if with_texts else None
    with pytest.raises(UsageError, match=rf"distill\.weighting\.by: {by}"):
        make_weigher(WeightingSettings(by=by), texts)


@pytest.mark.parametrize("by", ["image_text", "text"])
def test_scores_are_fp32_under_autocast(clip: Clip, by: str):
    views, logits, labels, texts = inputs()
    weigher = make_weigher(WeightingSettings(by=by), texts, 1 / clip.temperature.item())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = weigher(embed(clip, views), logits, labels)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, weigher(embed(clip, views), logits, labels), rtol=0.1, atol=0.5)
