from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.data.loading import Batch
from pipeline.evaluation.zero_shot import zero_shot_accuracy
from pipeline.randomness import Samples, generator
from pipeline.tmkd.prompts import Prompts, encode_prompts
from pipeline.tmkd.sampled_views import SampledViews
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


def test_view_of_an_image_follows_from_seed_epoch_and_index(fit: TextFit, tmp_path: Path):
    indices = torch.arange(300)
    sampled = fit.sample_views(Samples(indices, 2))
    assert sampled.dtype == torch.int64
    # Whatever the batch holds beside it, and in whatever order.
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit.sample_views(Samples(indices[order], 2)), sampled[order])
    assert fit.sample_views(Samples(torch.tensor([17]), 2)).item() == sampled[17]
    twin = TextFit(small_clip(tmp_path, seed=8), PROMPTS, VIEWS, NAMES, seed=3)
    assert torch.equal(twin.sample_views(Samples(indices, 2)), sampled)
    assert not torch.equal(fit.sample_views(Samples(indices, 3)), sampled)
    other = TextFit(small_clip(tmp_path), PROMPTS, VIEWS, NAMES, seed=4)
    assert not torch.equal(other.sample_views(Samples(indices, 2)), sampled)
    # Each view gets its share: 100 each, with a standard deviation of 8.
    assert np.abs(np.bincount(sampled.numpy(), minlength=3) - 100).max() < 40


def test_each_view_has_prompts_of_its_own(fit: TextFit):
    seen: list[set[bytes]] = [set(), set(), set()]
    for index in range(60):
        tokens = fit.sample_tokens(Samples(torch.tensor([index]), 1))
        assert torch.equal(tokens, fit.sample_tokens(Samples(torch.tensor([index]), 1)))
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


def test_draws_are_those_of_streams_of_their_own(fit: TextFit):
    samples = Samples(torch.tensor([5, 6]), 2)
    assert torch.equal(fit.sample_views(samples), SampledViews(VIEWS, 3, "view for the text teacher").sample(samples))
    draws = generator(3, "template for the text teacher", 2, 5)
    templates = [
        PROMPTS.templates(view)[draws.integers(count)] for view, count in zip(VIEWS.names, (3, 2, 1), strict=True)
    ]
    expected = [fit.clip.tokenize([template.replace("{}", kind) for kind in NAMES]) for template in templates]
    assert torch.equal(fit.sample_tokens(samples), torch.stack(expected))


def test_loss_is_the_contrast_within_each_view(fit: TextFit):
    images, labels = pictures(9, seed=1)
    sampled = torch.tensor([0, 1, 2, 0, 1, 0, 0, 1, 0])
    tokens = fit.sample_tokens(Samples(torch.tensor([4]), 0))
    fit.eval()
    loss = fit.contrast(images, labels, sampled, tokens)

    with torch.no_grad():
        shown = VIEWS(images)
        expected = 0.0
        for view in range(3):
            members = np.flatnonzero(sampled.numpy() == view)
            found = fit.clip.encode_image(shown[view][members]).double().numpy()
            texts = fit.clip.encode_tokens(tokens[view]).double().numpy()
            scores = found @ texts.T / fit.clip.temperature.item()
            own = labels.numpy()[members]
            over_classes = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            over_images = scores - np.log(np.exp(scores).sum(axis=0, keepdims=True))
            to_text = -over_classes[np.arange(len(members)), own].mean()
            to_image = np.mean([-over_images[own == kind, kind].mean() for kind in np.unique(own)])
            expected += len(members) / 9 * (to_text + to_image) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_batch_is_shown_in_views_and_with_prompts_of_its_samples(fit: TextFit):
    images, labels = pictures(6, seed=2)
    samples = Samples(torch.tensor([4, 17, 2, 9, 8, 5]), 3)
    fit.eval()
    (loss,) = fit(images, labels, None, 1.0, samples).values()
    assert torch.equal(loss, fit.contrast(images, labels, fit.sample_views(samples), fit.sample_tokens(samples)))


def test_classifier_finds_the_nearest_prompt_on_plain_images(fit: TextFit):
    images, _labels = pictures(6, seed=2)
    fit.eval()
    with torch.no_grad():
        scores = fit.classifier()(images)
        texts = encode_prompts(fit.clip.encode_text, PROMPTS, NAMES, ["rgb"])[0]
        torch.testing.assert_close(scores, fit.clip.encode_image(images) @ texts.T)
    batch = Batch((images * 255).to(torch.uint8), scores.argmax(dim=1), torch.arange(6))
    plain = texts[None]
    assert zero_shot_accuracy(fit.clip.encode_image, plain, Views({}), [batch], torch.device("cpu"))["rgb"] == 1.0


def test_prompts_of_views_that_are_not_shown_change_nothing(fit: TextFit):
    images, labels = pictures(6, seed=2)
    sampled = torch.zeros(6, dtype=torch.int64)
    tokens = fit.sample_tokens(Samples(torch.tensor([0]), 0))
    fit.eval()
    loss = fit.contrast(images, labels, sampled, tokens)
    changed = tokens.clone()
    changed[1:] = fit.clip.tokenize(["nothing", "of the sort"])
    assert torch.equal(fit.contrast(images, labels, sampled, changed), loss)
    changed[0] = changed[1]
    assert not torch.equal(fit.contrast(images, labels, sampled, changed), loss)


def test_everything_in_clip_is_trained_and_nothing_else(fit: TextFit):
    images, labels = pictures(6, seed=2)
    fit(images, labels, None, 1.0, Samples(torch.arange(6), 0))["contrast"].backward()
    assert {name.partition(".")[0] for name, _ in fit.named_parameters()} == {"clip"}
    without = [name for name, parameter in fit.named_parameters() if parameter.grad is None]
    assert without == []
    assert fit.clip.model.logit_scale.grad.abs() > 0


def test_two_colours_are_learned_in_a_few_steps(fit: TextFit):
    optimizer = torch.optim.AdamW(fit.parameters(), lr=3e-3)
    images, labels = pictures(64, seed=5)
    fit.train()
    losses = []
    for step in range(40):
        chosen = torch.from_numpy(np.random.default_rng(step).permutation(64)[:16])
        loss = fit(images[chosen], labels[chosen], None, 1.0, Samples(chosen, step))["contrast"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    fit.eval()
    embeddings = encode_prompts(fit.clip.encode_text, PROMPTS, NAMES, VIEWS.kinds)
    unseen, truth = pictures(60, seed=6)
    batch = Batch((unseen * 255).to(torch.uint8), truth, torch.arange(60))
    accuracy = zero_shot_accuracy(fit.clip.encode_image, embeddings, VIEWS, [batch], torch.device("cpu"))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert min(accuracy.values()) > 0.9
