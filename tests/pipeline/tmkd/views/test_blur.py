import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from pipeline.tmkd.views.blur import blur_view
from pipeline.tmkd.views.high_frequency import high_frequency_view
from pipeline.tmkd.views.settings import BlurView, HighFrequencyView
from tests.pipeline.tmkd.views.images import random_images, sizes


@given(seed=st.integers(0, 10_000), cutoff=st.floats(0.3, 1), strength=st.floats(0, 1))
@settings(deadline=None, max_examples=25)
def test_blur_equals_a_gaussian_filter(seed: int, cutoff: float, strength: float) -> None:
    images = random_images(seed, (2, 16, 13))  # larger than the reach of the filter
    values = images.double().numpy()
    # A Gaussian of sigma has the transfer exp(-2·(pi·sigma·f)²), which is to be ½ at f = cutoff / 2.
    sigma = np.sqrt(np.log(2) / 2) / (np.pi * cutoff / 2)
    blurred = gaussian_filter(values, sigma, mode="mirror", radius=int(np.ceil(4 * sigma)), axes=(2, 3))
    expected = values + strength * (blurred - values)
    np.testing.assert_allclose(
        blur_view(images, BlurView(cutoff=cutoff, strength=strength)).numpy(), expected, atol=1e-5
    )


@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=20)
def test_strength_0_gives_the_image(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    assert torch.equal(blur_view(images, BlurView(strength=0.0)), images)


@given(seed=st.integers(0, 10_000), size=sizes, strength=st.floats(0, 1))
@settings(deadline=None, max_examples=20)
def test_blur_takes_away_what_the_high_frequency_view_adds(
    seed: int, size: tuple[int, int, int], strength: float
) -> None:
    images = 0.4 + 0.2 * random_images(seed, size)  # nothing is clipped
    blurred = blur_view(images, BlurView(cutoff=0.5, strength=strength))
    texture = high_frequency_view(images, HighFrequencyView(cutoff=0.5, strength=strength, filter="gaussian"))
    torch.testing.assert_close(blurred + texture, 2 * images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    assert blur_view(random_images(0, (2, 5, 6), dtype), BlurView()).dtype == dtype


@given(size=sizes, cutoff=st.floats(0.05, 1), strength=st.floats(0, 1))
@settings(deadline=None, max_examples=20)
def test_white_is_no_brighter_than_white(size: tuple[int, int, int], cutoff: float, strength: float) -> None:
    white = torch.ones(size[0], 3, *size[1:])
    assert blur_view(white, BlurView(cutoff=cutoff, strength=strength)).max() <= 1


def test_blur_is_differentiable() -> None:
    images = (0.3 + 0.3 * random_images(5, (1, 5, 4), torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: blur_view(x, BlurView(cutoff=0.6, strength=0.7)), images)
