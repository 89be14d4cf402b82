from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.data.loading import Batch
from pipeline.evaluation.zero_shot import zero_shot_accuracy
from pipeline.tmkd.prompts import Prompts, encode_prompts
from pipeline.tmkd.text_fit import TextFit
from pipeline.tmkd.views.settings import default_views
from pipeline.tmkd.views.views import Views
from tests.pipeline.models.small_clip import small_clip

PROMPTS = Prompts(
    {
        "rgb": ("a photo of a {}.", "one {}", "the {}, seen well"),
        "edge": ("an outline of a {}.", "edges of {}"),
        "high_frequency": ("the texture of a {}.",),
    }
)
NAMES = ["red", "blue"]
VIEWS = Views(default_views())
SIZE = 16


@pytest.fixture
def fit(tmp_path: Path) -> TextFit:
    return TextFit(small_clip(tmp_path), PROMPTS, VIEWS, NAMES, seed=3)


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy red and noisy blue images in [0, 1]."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 2, count)
    images = draws.uniform(0, 0.5, (count, 3, SIZE, SIZE))
    images[np.arange(count), np.where(labels == 0, 0, 2)] += 0.4
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)


def test_the_view_of_an_image_follows_from_seed_pass_and_index(fit: TextFit, tmp_path: Path):
    indices = torch.arange(300)
    drawn = fit.draw_views(2, indices)
    assert drawn.dtype == torch.int64
    # Whatever the batch holds beside it, and in whatever order.
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit.draw_views(2, indices[order]), drawn[order])
    assert fit.draw_views(2, torch.tensor([17])).item() == drawn[17]
    twin = TextFit(small_clip(tmp_path, seed=8), PROMPTS, VIEWS, NAMES, seed=3)
    assert torch.equal(twin.draw_views(2, indices), drawn)
    assert not torch.equal(fit.draw_views(3, indices), drawn)
    other = TextFit(small_clip(tmp_path), PROMPTS, VIEWS, NAMES, seed=4)
    assert not torch.equal(other.draw_views(2, indices), drawn)
    # Each view gets its share: 100 each, with a standard deviation of 8.
    assert np.abs(np.bincount(drawn.numpy(), minlength=3) - 100).max() < 40


def test_each_view_has_prompts_of_its_own(fit: TextFit):
    seen: list[set[bytes]] = [set(), set(), set()]
    for index in range(60):
        tokens = fit.draw_tokens(1, index)
        assert torch.equal(tokens, fit.draw_tokens(1, index))
        assert tokens.shape == (3, 2, 20)
        for view in range(3):
            seen[view].add(tokens[view].numpy().tobytes())
    for view, name in enumerate(VIEWS.names):
        possible = {
            fit.clip.tokenize([template.replace("{}", kind) for kind in NAMES]).numpy().tobytes()
            for template in PROMPTS.templates(name)
        }
        assert seen[view] == possible
    assert len(seen[0]) == 3


def test_the_loss_is_the_contrast_within_each_view(fit: TextFit):
    images, labels = pictures(9, seed=1)
    drawn = torch.tensor([0, 1, 2, 0, 1, 0, 0, 1, 0])
    tokens = fit.draw_tokens(0, 4)
    fit.eval()
    loss = fit(images, labels, drawn, tokens)
    assert list(loss) == ["contrast"]

    with torch.no_grad():
        shown = VIEWS(images)
        expected = 0.0
        for view in range(3):
            members = np.flatnonzero(drawn.numpy() == view)
            found = fit.clip.encode_image(shown[view][members]).double().numpy()
            texts = fit.clip.encode_tokens(tokens[view]).double().numpy()
            scores = found @ texts.T / fit.clip.temperature.item()
            own = labels.numpy()[members]
            over_classes = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            over_images = scores - np.log(np.exp(scores).sum(axis=0, keepdims=True))
            to_text = -over_classes[np.arange(len(members)), own].mean()
            to_image = np.mean([-over_images[own == kind, kind].mean() for kind in np.unique(own)])
            expected += len(members) / 9 * (to_text + to_image) / 2
    assert loss["contrast"].item() == pytest.approx(expected, rel=1e-4)


def test_prompts_of_views_that_are_not_shown_change_nothing(fit: TextFit):
    images, labels = pictures(6, seed=2)
    drawn = torch.zeros(6, dtype=torch.int64)
    tokens = fit.draw_tokens(0, 0)
    fit.eval()
    loss = fit(images, labels, drawn, tokens)["contrast"]
    changed = tokens.clone()
    changed[1:] = fit.clip.tokenize(["nothing", "of the sort"])
    assert torch.equal(fit(images, labels, drawn, changed)["contrast"], loss)
    changed[0] = changed[1]
    assert not torch.equal(fit(images, labels, drawn, changed)["contrast"], loss)


def test_everything_in_clip_is_trained_and_nothing_else(fit: TextFit):
    images, labels = pictures(6, seed=2)
    fit(images, labels, fit.draw_views(0, torch.arange(6)), fit.draw_tokens(0, 0))["contrast"].backward()
    assert {name.partition(".")[0] for name, _ in fit.named_parameters()} == {"clip"}
    without = [name for name, parameter in fit.named_parameters() if parameter.grad is None]
    assert without == []
    assert fit.clip.model.logit_scale.grad.abs() > 0


def test_two_colours_are_learnt_in_a_few_steps(fit: TextFit):
    optimiser = torch.optim.AdamW(fit.parameters(), lr=3e-3)
    images, labels = pictures(64, seed=5)
    fit.train()
    losses = []
    for step in range(40):
        chosen = torch.from_numpy(np.random.default_rng(step).permutation(64)[:16])
        drawn, tokens = fit.draw_views(step, chosen), fit.draw_tokens(step, int(chosen[0]))
        loss = fit(images[chosen], labels[chosen], drawn, tokens)["contrast"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    fit.eval()
    embeddings = encode_prompts(fit.clip.encode_text, PROMPTS, NAMES, VIEWS.kinds)
    unseen, truth = pictures(60, seed=6)
    batch = Batch((unseen * 255).to(torch.uint8), truth, torch.arange(60))
    accuracy = zero_shot_accuracy(fit.clip, embeddings, VIEWS, [batch], torch.device("cpu"))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert min(accuracy.values()) > 0.9
