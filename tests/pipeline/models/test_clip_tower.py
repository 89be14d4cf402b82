"""A CLIP that looks at images by another network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exporters.student.architectures import Architecture, build
from pipeline.models.clip_tower import TowerClip, build_projected_clip, encode_features
from pipeline.models.tapped import TappedNetwork
from tests.pipeline.models.small_clip import write_description

MEAN, STD, SIZE = (0.2, 0.4, 0.6), (0.1, 0.2, 0.5), 24


def tower() -> TappedNetwork:
    torch.manual_seed(0)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), 5), MEAN, STD, SIZE)


def images(side: int = SIZE) -> torch.Tensor:
    return torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_image_embedding_is_the_projection_of_pooled_features(tmp_path: Path) -> None:
    network = tower()
    clip = build_projected_clip(str(write_description(tmp_path)), network.shape.channels, seed=2)
    with torch.no_grad():
        found = TowerClip(clip, network).encode_image(images()).double().numpy()
        normalised = (images() - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        pooled = _pooled(network, normalised)
    features = (pooled - pooled.mean(1, keepdims=True)) / np.sqrt(pooled.var(1, keepdims=True) + 1e-5)
    expected = features @ clip.model.visual.projection.weight.detach().double().numpy().T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape == (4, 16)


def _pooled(network: TappedNetwork, normalised: torch.Tensor) -> np.ndarray:
    """What goes into the network's own classifier, by a hook of the test."""
    seen: list[torch.Tensor] = []
    handle = network.network.linear.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network.network.eval()(normalised)
    handle.remove()
    return seen[0].double().numpy()


def test_images_are_seen_in_the_towers_own_size(tmp_path: Path) -> None:
    network = tower()
    clip = TowerClip(build_projected_clip(str(write_description(tmp_path)), network.shape.channels), network)
    assert clip.size == SIZE and clip.mean.flatten().tolist() == pytest.approx(MEAN)
    large = images(48)
    resized = [
        np.stack([np.asarray(Image.fromarray(band).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for band in image])
        for image in large.numpy()
    ]
    with torch.no_grad():
        found, expected = clip.encode_image(large), clip.encode_image(torch.from_numpy(np.stack(resized)).clamp(0, 1))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_tower_is_frozen_and_the_rest_is_not(tmp_path: Path) -> None:
    network = tower()
    clip = build_projected_clip(str(write_description(tmp_path)), network.shape.channels)
    TowerClip(clip, network)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in clip.model.parameters())


def test_initialisation_follows_from_the_seed_and_leaves_the_global_one(tmp_path: Path) -> None:
    description = str(write_description(tmp_path))
    before = torch.get_rng_state()
    one, two, other = (build_projected_clip(description, 8, seed).model.state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["visual.projection.weight"], other["visual.projection.weight"])


def test_without_a_model_only_projection_and_scale_are_left() -> None:
    clip = build_projected_clip(None, 8, width=6)
    names = {"visual.norm.weight", "visual.norm.bias", "visual.projection.weight", "logit_scale"}
    assert set(clip.model.state_dict()) == names
    assert clip.temperature.item() == pytest.approx(0.07)
    found = encode_features(clip, torch.randn(3, 8))
    assert found.shape == (3, 6) and found.norm(dim=1).tolist() == pytest.approx([1] * 3, abs=1e-6)
