import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.views.grey import grey_view
from pipeline.tmkd.views.settings import GreyView
from tests.pipeline.tmkd.views.images import random_images, sizes


@given(seed=st.integers(0, 10_000), size=sizes, strength=st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_colours_fade_towards_the_luma_by_the_formula(seed: int, size: tuple[int, int, int], strength: float) -> None:
    images = random_images(seed, size)
    values = images.double().numpy()
    brightness = np.tensordot(np.array([0.299, 0.587, 0.114]), values, axes=(0, 1))[:, None]
    expected = values + strength * (brightness - values)
    np.testing.assert_allclose(grey_view(images, GreyView(strength=strength)).numpy(), expected, atol=1e-5)


@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=20)
def test_strength_0_gives_the_image_and_1_three_equal_channels(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    assert torch.equal(grey_view(images, GreyView(strength=0.0)), images)
    grey = grey_view(images, GreyView())
    assert torch.equal(grey[:, :1].expand_as(grey), grey)
    torch.testing.assert_close(grey_view(grey, GreyView()), grey, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    assert grey_view(random_images(0, (2, 5, 6), dtype), GreyView()).dtype == dtype


@given(strength=st.floats(0, 1))
@settings(deadline=None, max_examples=20)
def test_white_is_no_brighter_than_white(strength: float) -> None:
    for dtype in (torch.float32, torch.float64):
        assert grey_view(torch.ones(1, 3, 2, 2, dtype=dtype), GreyView(strength=strength)).max() <= 1


def test_grey_is_differentiable() -> None:
    images = (0.3 + 0.3 * random_images(5, (1, 5, 4), torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: grey_view(x, GreyView(strength=0.7)), images)
