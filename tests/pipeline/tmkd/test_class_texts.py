"""The classes' embeddings that a CLIP is fitted to."""

from pathlib import Path

import torch

from pipeline.randomness import Samples, generator
from pipeline.tmkd.class_texts import AnchorTexts, PromptTexts
from pipeline.tmkd.prompts import Prompts, encode_prompts
from pipeline.tmkd.views.settings import EdgeView, default_views
from pipeline.tmkd.views.views import Views
from tests.pipeline.models.small_clip import small_clip

PROMPTS = Prompts({"rgb": ("a {}.", "the {}"), "edge": ("edges of {}",), "high_frequency": ("fine {}",)})
VIEWS, NAMES = Views(default_views()), ["red", "blue", "green"]


def test_sampled_prompts_are_those_of_one_template_of_each_view(tmp_path: Path) -> None:
    clip = small_clip(tmp_path)
    texts = PromptTexts(clip, PROMPTS, VIEWS, NAMES, seed=1)
    possible = {
        template: clip.encode_text([template.replace("{}", name) for name in NAMES])
        for template in PROMPTS.views["rgb"]
    }
    seen = set()
    for index in range(20):
        found = texts.sampled(Samples(torch.tensor([index, 3]), 2))
        assert found.shape == (3, 3, 16) and found.requires_grad
        (template,) = (name for name, expected in possible.items() if torch.allclose(found[0], expected, atol=1e-6))
        seen.add(template)
        edges = clip.encode_text([f"edges of {name}" for name in NAMES])
        torch.testing.assert_close(found[1].detach(), edges)
    assert seen == set(possible)


def test_embeddings_are_the_mean_over_templates(tmp_path: Path) -> None:
    clip = small_clip(tmp_path)
    found = PromptTexts(clip, PROMPTS, VIEWS, NAMES, seed=1).embeddings(VIEWS)
    assert torch.equal(found, encode_prompts(clip.encode_text, PROMPTS, NAMES, VIEWS.kinds))
    assert not found.requires_grad


def test_anchors_are_centred_and_the_same_in_every_view() -> None:
    anchors = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    texts = AnchorTexts(anchors, 3)
    apart = torch.tensor([0.6, 0.8]) - torch.tensor([0.0, 1.0])
    expected = torch.stack([apart, -apart]) / apart.norm()
    for found in (texts.sampled(Samples(torch.tensor([0]), 0)), texts.embeddings(VIEWS)):
        torch.testing.assert_close(found, torch.stack([expected] * 3))
    assert texts.embeddings(Views({})).shape == (1, 2, 2)


def test_view_of_another_name_is_shown_with_the_prompts_of_its_kind(tmp_path: Path) -> None:
    clip, views = small_clip(tmp_path), Views({"bold": EdgeView(strength=0.9)})
    texts = PromptTexts(clip, PROMPTS, views, NAMES, seed=1)
    tokens = texts.sample_tokens(Samples(torch.tensor([0]), 0))
    assert torch.equal(tokens[1], clip.tokenize([f"edges of {name}" for name in NAMES]))
    assert torch.equal(
        texts.embeddings(views), encode_prompts(clip.encode_text, PROMPTS, NAMES, {"rgb": "rgb", "bold": "edge"})
    )


def test_view_with_prompts_of_its_own_name_is_shown_with_those(tmp_path: Path) -> None:
    clip, views = small_clip(tmp_path), Views({"bold": EdgeView(strength=0.9)})
    prompts = Prompts({**PROMPTS.views, "bold": ("bold {}",)})
    tokens = PromptTexts(clip, prompts, views, NAMES, seed=1).sample_tokens(Samples(torch.tensor([0]), 0))
    assert torch.equal(tokens[1], clip.tokenize([f"bold {name}" for name in NAMES]))


def test_template_follows_from_seed_epoch_and_first_sample(tmp_path: Path) -> None:
    clip = small_clip(tmp_path)
    prompts = Prompts({"rgb": tuple(f"{word} {{}}" for word in "abcdefgh")})
    seen = set()
    for seed, epoch, index in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (1, 5, 9), (4, 4, 4)):
        drawn = int(generator(seed, "template for the text teacher", epoch, index).integers(8))
        seen.add(drawn)
        found = PromptTexts(clip, prompts, Views({}), NAMES, seed).sample_tokens(
            Samples(torch.tensor([index, 7]), epoch)
        )
        assert torch.equal(found[0], clip.tokenize([f"{'abcdefgh'[drawn]} {name}" for name in NAMES]))
    assert len(seen) > 2
