import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import pixels
from pipeline.data.pixels import _combined, blend, erase, paste


def noise(count: int, height: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    levels = random.integers(0, 256, (count, height, width, 3))
    return (levels * random.random((count, 1, 1, 3))).astype(np.uint8)


@pytest.mark.parametrize("side", [3, 32, 300])  # 300: sums beyond what float32 holds exactly
def test_rectangle_is_filled_with_the_mean_of_each_colour(side: int):
    images = noise(4, side, side, 3)
    boxes = np.array([[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, side, side], [1, 1, 2, 2]])
    filled = erase(torch.from_numpy(images.copy()), boxes).numpy()
    for image, (left, top, right, bottom), found in zip(images, boxes.tolist(), filled, strict=True):
        expected = image.copy()
        expected[top:bottom, left:right] = np.rint(image.reshape(-1, 3).mean(axis=0, dtype=np.float64))
        np.testing.assert_array_equal(found, expected)
    apart = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)  # not line by line in memory
    np.testing.assert_array_equal(erase(apart, boxes).numpy(), filled)
    # As other devices have it: a box taken out of an image of one colour.
    mean = torch.from_numpy(filled[2:3, :1, :1]).expand(1, side, side, 3)
    pasted = _combined(torch.from_numpy(images[2:3]), mean, np.array([[1, 0, 2, 3]])).numpy()
    assert (pasted[0, :3, 1:2] == filled[2, 0, 0]).all() and (pasted[0, :, 0] == images[2, :, 0]).all()


def test_boxes_of_some_images_are_pasted():
    images, partners, rows = noise(4, 6, 5, 0), noise(2, 6, 5, 1), np.array([2, 0])
    found = torch.from_numpy(images.copy())
    paste(found, rows, torch.from_numpy(partners), np.array([[1, 2, 4, 6], [0, 0, 0, 0]]))
    expected = images.copy()
    expected[2, 2:6, 1:4] = partners[0, 2:6, 1:4]
    np.testing.assert_array_equal(found.numpy(), expected)


def test_boxes_are_pasted_as_on_other_devices():
    images, partners = (torch.from_numpy(noise(5, 9, 7, seed)) for seed in range(2))
    boxes = np.array([[0, 0, 7, 9], [0, 0, 0, 0], [2, 3, 2, 8], [6, 8, 7, 9], [1, 0, 5, 4]])
    expected = _combined(images, partners, boxes)
    paste(images, np.arange(5), partners, boxes)
    assert torch.equal(images, expected)


SHARES = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.5, 0.7, 0.9, 0.75, 1 - 1 / 255, 1.0]),
    st.builds(lambda half, difference: (half + 0.5) / difference, st.integers(0, 99), st.integers(100, 255)),  # ties
)
NUDGES = st.sampled_from([0.0, 1e-15, -1e-15, 1e-8, 1.6e-7, -1.6e-7, 1e-5])  # about where float32 rounds the other way


@settings(deadline=None, max_examples=100)
@given(
    shares=st.lists(st.builds(lambda share, nudge: min(max(share + nudge, 0), 1), SHARES, NUDGES), max_size=6),
    cached=st.sampled_from([1, 2 * 65536 * 3, pixels._CACHED_LEVELS]),
)
def test_blend_is_what_float64_gives_rounded(shares: list[float], cached: int):
    # Every pair of two levels, once for each share, and an image between that stays as it is.
    own, partner = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    own, partner = (np.repeat(each[:, :, None], 3, axis=2) for each in (own, partner))
    rows = np.arange(len(shares))[::-1] * 2
    images = np.stack([own] * (2 * len(shares) + 1))
    partners, weights = np.broadcast_to(partner, (len(shares), *partner.shape)).copy(), np.array(shares)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "_CACHED_LEVELS", cached)
        blend(torch.from_numpy(images), rows, torch.from_numpy(partners), weights)
    for row, share in zip(rows, shares, strict=True):
        np.testing.assert_array_equal(images[row], np.rint(share * own + (1 - share) * partner))
    assert (images[np.setdiff1d(np.arange(len(images)), rows)] == own).all()


def test_most_shares_need_no_float64():
    shares = np.random.default_rng(0).beta(0.4, 0.4, 10_000)
    assert 0.95 < pixels._rounds_alike(shares).mean() < 1
    assert not pixels._rounds_alike(np.array([0.5, 0.9])).any()
