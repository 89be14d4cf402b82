import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.views.flip import flip_view
from pipeline.tmkd.views.settings import FlipView
from tests.pipeline.tmkd.views.images import random_images, sizes

AXES = st.sampled_from(["horizontal", "vertical"])


@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=20)
def test_columns_are_reversed_horizontally_and_rows_vertically(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    mirrored = images.numpy()[:, :, :, ::-1]
    assert (flip_view(images, FlipView()).numpy() == mirrored).all()
    assert (flip_view(images, FlipView(axis="vertical")).numpy() == images.numpy()[:, :, ::-1, :]).all()


@given(seed=st.integers(0, 10_000), size=sizes, axis=AXES)
@settings(deadline=None, max_examples=20)
def test_flipping_twice_gives_the_image(seed: int, size: tuple[int, int, int], axis: str) -> None:
    images, view = random_images(seed, size), FlipView(axis=axis)
    assert torch.equal(flip_view(flip_view(images, view), view), images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    assert flip_view(random_images(0, (2, 5, 6), dtype), FlipView()).dtype == dtype
