import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.views.settings import ZoomView
from pipeline.tmkd.views.zoom import zoom_view
from tests.pipeline.tmkd.views.images import random_images, sizes

shares = st.floats(0.1, 1)


def interpolation(length: int, kept: int) -> np.ndarray:
    """The matrix `[length, length]` of bilinear resizing from the `kept` central pixels to all of them."""
    start = (length - kept) // 2
    matrix = np.zeros((length, length))
    for row in range(length):
        position = np.clip((row + 0.5) * kept / length - 0.5, 0, kept - 1)
        low = int(np.floor(position))
        high = min(low + 1, kept - 1)
        matrix[row, start + low] += 1 - (position - low)
        matrix[row, start + high] += position - low
    return matrix


def reference_zoom(images: np.ndarray, share: float) -> np.ndarray:
    height, width = images.shape[-2:]
    rows, columns = (
        interpolation(side, side - 2 * min(round((1 - share) * side / 2), (side - 1) // 2)) for side in (height, width)
    )
    return rows @ images @ columns.T


@given(seed=st.integers(0, 10_000), size=sizes, share=shares)
@settings(deadline=None, max_examples=40)
def test_zoom_equals_bilinear_resizing_of_the_centre(seed: int, size: tuple[int, int, int], share: float) -> None:
    images = random_images(seed, size)
    expected = reference_zoom(images.double().numpy(), share)
    np.testing.assert_allclose(zoom_view(images, ZoomView(share=share)).numpy(), expected, atol=1e-5)


@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=20)
def test_share_1_gives_the_image(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    assert torch.equal(zoom_view(images, ZoomView(share=1.0)), images)


@given(seed=st.integers(0, 10_000), size=sizes, share=shares)
@settings(deadline=None, max_examples=20)
def test_zoom_and_flip_can_be_swapped(seed: int, size: tuple[int, int, int], share: float) -> None:
    images, view = random_images(seed, size), ZoomView(share=share)
    torch.testing.assert_close(zoom_view(images.flip(-1), view), zoom_view(images, view).flip(-1), atol=1e-5, rtol=0)


@given(seed=st.integers(0, 10_000), size=sizes, share=shares)
@settings(deadline=None, max_examples=20)
def test_values_stay_between_those_of_the_image(seed: int, size: tuple[int, int, int], share: float) -> None:
    images = random_images(seed, size)
    view = zoom_view(images, ZoomView(share=share))
    assert view.shape == images.shape
    assert view.min() >= images.min() - 1e-6 and view.max() <= images.max() + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    assert zoom_view(random_images(0, (2, 9, 8), dtype), ZoomView(share=0.5)).dtype == dtype


def test_white_is_no_brighter_than_white() -> None:
    for side in range(5, 20):
        for share in (0.2, 0.4, 0.6, 0.8):
            assert zoom_view(torch.ones(1, 3, side, side), ZoomView(share=share)).max() <= 1


def test_zoom_is_differentiable() -> None:
    images = random_images(5, (1, 7, 6), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: zoom_view(x, ZoomView(share=0.6)), images)
