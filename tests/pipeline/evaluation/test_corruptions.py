"""Corruptions against their definitions, computed another way."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.loading import Batch
from pipeline.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt, corrupted_batches
from pipeline.randomness import generator


def picture(height: int = 24, width: int = 20, seed: int = 0) -> np.ndarray:
    """Smooth, so that every corruption changes it and none saturates it whole."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (2 + c) + seed) * np.cos(y / (3 + c)) for c in range(3)]
    return (110 + 70 * np.stack(waves, axis=-1)).round().astype(np.uint8)


def close(found: np.ndarray, expected: np.ndarray, most: int = 1) -> None:
    """Equal but for the rounding of an 8-bit value."""
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected.clip(0, 255).round().astype(int)).max() <= most


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.04), (3, 0.08), (5, 0.16)])
def test_noise_is_normal_and_addressed(severity: int, sigma: float) -> None:
    image = picture()
    noise = generator(0, "corruption gaussian_noise", severity, 7).standard_normal(image.shape)
    close(corrupt(image, "gaussian_noise", severity, 7), image + 255 * sigma * noise)
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    assert corrupt(grey, "gaussian_noise", severity, 0).std() / 255 == pytest.approx(sigma, rel=0.05)
    assert not np.array_equal(
        corrupt(image, "gaussian_noise", severity, 7), corrupt(image, "gaussian_noise", severity, 8)
    )


@pytest.mark.parametrize(("severity", "share"), [(1, 0.01), (3, 0.02), (5, 0.04)])
def test_blur_is_a_convolution_with_a_gaussian(severity: int, share: float) -> None:
    image = picture(60, 50)
    sigma = share * 50
    radius = int(3 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(image.astype(float), ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    expected = np.zeros(image.shape)
    for row, down in enumerate(kernel):
        for column, right in enumerate(kernel):
            expected += down * right * padded[row : row + 60, column : column + 50]
    close(corrupt(image, "blur", severity, 0), expected)


@pytest.mark.parametrize(("severity", "added"), [(1, 0.1), (3, 0.2), (5, 0.4)])
def test_brightness_adds_a_constant(severity: int, added: float) -> None:
    close(corrupt(picture(), "brightness", severity, 0), picture() + 255.0 * added)


@pytest.mark.parametrize(("severity", "factor"), [(1, 0.6), (3, 0.3), (5, 0.1)])
def test_contrast_pulls_to_the_mean_of_each_channel(severity: int, factor: float) -> None:
    image = picture()
    means = [image[..., channel].mean() for channel in range(3)]
    close(corrupt(image, "contrast", severity, 0), factor * image + (1 - factor) * np.array(means))


@pytest.mark.parametrize(("severity", "quality"), [(1, 40), (3, 20), (5, 8)])
def test_jpeg_is_decoded_from_a_file_of_that_quality(severity: int, quality: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    assert np.array_equal(corrupt(picture(), "jpeg", severity, 0), np.asarray(Image.open(stream)))


@pytest.mark.parametrize(("severity", "blocks"), [(5, 5)])
def test_pixelate_gives_blocks_of_mean_colour(severity: int, blocks: int) -> None:
    image = picture(20, 20)  # a quarter of the side: blocks of 4 by 4
    means = image.reshape(blocks, 4, blocks, 4, 3).mean(axis=(1, 3))
    close(corrupt(image, "pixelate", severity, 0), means.repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(seed=st.integers(0, 50), height=st.integers(1, 30), width=st.integers(1, 30))
@settings(deadline=None, max_examples=15)
def test_any_image_keeps_its_shape_and_is_corrupted_alike_each_time(
    name: str, seed: int, height: int, width: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for severity in SEVERITIES:
        found = corrupt(image, name, severity, seed)
        assert found.shape == image.shape and found.dtype == np.uint8
        assert np.array_equal(found, corrupt(image.copy(), name, severity, seed))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_higher_severities_change_more(name: str) -> None:
    image = picture(64, 64)
    changes = [np.abs(corrupt(image, name, severity, 0).astype(float) - image).mean() for severity in SEVERITIES]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_batches_keep_labels_indices_and_layout() -> None:
    images = np.stack([picture(16, 16, seed) for seed in range(3)])
    indices = torch.tensor([4, 9, 2])
    batch = Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.tensor([1, 0, 1]), indices)
    (found,) = corrupted_batches([batch], "gaussian_noise", 3)
    assert torch.equal(found.labels, batch.labels) and torch.equal(found.indices, indices)
    assert found.images.is_contiguous(memory_format=torch.channels_last)
    for row, index in enumerate(indices.tolist()):
        expected: Any = corrupt(images[row], "gaussian_noise", 3, index)
        assert np.array_equal(found.images[row].permute(1, 2, 0).numpy(), expected)
