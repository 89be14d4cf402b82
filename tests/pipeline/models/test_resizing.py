import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.models.resizing import resize_images


def by_pillow(images: np.ndarray, size: int) -> np.ndarray:
    """Each channel of `[n, 3, H, W]` as a float image of its own, by Pillow's bicubic filter."""
    resized = [
        [np.asarray(Image.fromarray(band).resize((size, size), Image.Resampling.BICUBIC)) for band in image]
        for image in images.astype(np.float32)
    ]
    return np.clip(np.asarray(resized), 0, 1)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(4, 70), width=st.integers(4, 70), size=st.integers(4, 70), seed=st.integers(0, 99))
def test_resizing_equals_pillow(height: int, width: int, size: int, seed: int):
    images = np.random.default_rng(seed).random((2, 3, height, width), dtype=np.float32)
    found = resize_images(torch.from_numpy(images), size)
    assert found.shape == (2, 3, size, size)
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    np.testing.assert_allclose(found.numpy(), by_pillow(images, size), atol=2e-5)


def test_images_of_the_target_size_are_returned_unchanged():
    images = torch.rand(2, 3, 24, 24)
    assert resize_images(images, 24) is images


def test_overshoot_is_clamped_and_the_images_stay():
    images = (torch.arange(16) // 4 % 2).float().expand(1, 3, 16, 16)
    kept = images.clone()
    found = resize_images(images, 48)
    assert (float(found.min()), float(found.max())) == (0.0, 1.0)
    assert torch.equal(images, kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype):
    images = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = resize_images(images.to(dtype), 33)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.double().numpy(), by_pillow(images.numpy(), 33), atol=1e-2)


def test_autocast_does_not_change_the_result():
    images = torch.rand(1, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        found = resize_images(images, 33)
    assert torch.equal(found, resize_images(images, 33))


def test_resizing_has_a_gradient():
    images = torch.rand(1, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 2 + 0.25
    assert torch.autograd.gradcheck(lambda x: resize_images(x, 9), images.requires_grad_())
