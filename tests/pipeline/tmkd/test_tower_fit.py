"""A projection fitted on features of a frozen tower."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.models.clip_tower import build_projected_clip
from pipeline.randomness import Samples
from pipeline.tmkd.class_texts import AnchorTexts, PromptTexts
from pipeline.tmkd.prompts import Prompts, encode_prompts
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.tower_fit import TowerFit
from pipeline.tmkd.views.settings import default_views
from pipeline.tmkd.views.views import Views
from tests.pipeline.models.small_clip import write_description

PROMPTS = Prompts({"rgb": ("a {}.", "the {}"), "edge": ("edges of {}",), "high_frequency": ("fine {}",)})
VIEWS, NAMES, CHANNELS = Views(default_views()), ["red", "blue", "green"], 8


def fit_to_prompts(folder: Path) -> TowerFit:
    clip = build_projected_clip(str(write_description(folder)), CHANNELS, seed=5)
    return TowerFit(clip, PromptTexts(clip, PROMPTS, VIEWS, NAMES, seed=3), VIEWS, seed=3)


def features(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise around a point of each class, which every view shifts."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 3, count)
    places = np.random.default_rng(99)
    centres = places.normal(size=(3, CHANNELS)) + places.normal(scale=0.3, size=(3, 1, CHANNELS))  # [V, K, C]
    found = centres[:, labels].transpose(1, 0, 2) + draws.normal(scale=0.3, size=(count, 3, CHANNELS))
    return torch.from_numpy(found.astype(np.float32)), torch.from_numpy(labels)


def test_loss_is_the_contrast_of_sampled_views_with_their_prompts(tmp_path: Path) -> None:
    fit = fit_to_prompts(tmp_path)
    seen, labels = features(9)
    samples = Samples(torch.arange(10, 19), 2)
    views = SampledViews(VIEWS, 3, "view for the text teacher").sample(samples).numpy()
    with torch.no_grad():
        loss = fit(seen, labels, None, 1.0, samples)["contrast"].item()
        texts = fit._texts.sampled(samples).double().numpy()
        visual = fit.clip.model.visual
        rows = seen[np.arange(9), views]
        found = visual.projection(torch.nn.functional.layer_norm(rows, (CHANNELS,))).double().numpy()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    expected = 0.0
    for view in np.unique(views):
        members = np.flatnonzero(views == view)
        scores, own = found[members] @ texts[view].T / fit.clip.temperature.item(), labels.numpy()[members]
        over_classes = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        over_images = scores - np.log(np.exp(scores).sum(axis=0, keepdims=True))
        to_text = -over_classes[np.arange(len(members)), own].mean()
        to_image = np.mean([-over_images[own == kind, kind].mean() for kind in np.unique(own)])
        expected += len(members) / 9 * (to_text + to_image) / 2
    assert len(np.unique(views)) == 3 and loss == pytest.approx(expected, rel=1e-4)


def test_classifier_compares_rgb_features_with_rgb_prompts(tmp_path: Path) -> None:
    fit = fit_to_prompts(tmp_path).eval()
    seen, _ = features(6)
    with torch.no_grad():
        scores = fit.classifier()(seen)
        texts = encode_prompts(fit.clip.encode_text, PROMPTS, NAMES, ["rgb"])[0]
        projected = torch.nn.functional.normalize(fit.clip.model.visual(seen[:, 0]), dim=-1)
    torch.testing.assert_close(scores, projected @ texts.T)
    # A batch of rgb alone, as validation has it, gives the same.
    torch.testing.assert_close(fit.classifier()(seen[:, :1]), scores)


@pytest.mark.parametrize("anchored", [False, True])
def test_classes_are_learned_in_a_few_steps(anchored: bool, tmp_path: Path) -> None:
    if anchored:
        # Anchors as close together as those of a real CLIP.
        anchors = torch.ones(3, 6) + torch.eye(3, 6)
        fit = TowerFit(build_projected_clip(None, CHANNELS, 5, width=6), AnchorTexts(anchors, 3), VIEWS, seed=3)
    else:
        fit = fit_to_prompts(tmp_path)
    optimizer = torch.optim.AdamW(fit.parameters(), lr=1e-2)
    seen, labels = features(96)
    for step in range(40):
        chosen = torch.from_numpy(np.random.default_rng(step).permutation(96)[:32])
        loss = fit(seen[chosen], labels[chosen], None, 1.0, Samples(chosen, step))["contrast"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen, truth = features(60, seed=7)
    with torch.no_grad():
        right = (fit.eval().classifier()(unseen).argmax(dim=1) == truth).double().mean().item()
    assert right > 0.9


def test_everything_but_the_tower_is_trained(tmp_path: Path) -> None:
    fit = fit_to_prompts(tmp_path)
    seen, labels = features(6)
    fit(seen, labels, None, 1.0, Samples(torch.arange(6), 0))["contrast"].backward()
    assert [name for name, parameter in fit.named_parameters() if parameter.grad is None] == []
