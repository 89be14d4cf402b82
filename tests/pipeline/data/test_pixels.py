import numpy as np
import pytest
import torch

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


def test_boxes_are_pasted_as_on_other_devices():
    images, partners = (torch.from_numpy(noise(5, 9, 7, seed)) for seed in range(2))
    boxes = np.array([[0, 0, 7, 9], [0, 0, 0, 0], [2, 3, 2, 8], [6, 8, 7, 9], [1, 0, 5, 4]])
    before = images.clone()
    assert torch.equal(paste(images, partners, boxes), _combined(images, partners, boxes))
    assert torch.equal(images, before)


def test_box_is_taken_from_the_partner_and_a_blend_is_rounded():
    images, partners = noise(2, 6, 5, 0), noise(2, 6, 5, 1)
    pasted = paste(torch.from_numpy(images), torch.from_numpy(partners), np.array([[1, 2, 4, 6], [0, 0, 0, 0]])).numpy()
    assert (pasted[0, 2:6, 1:4] == partners[0, 2:6, 1:4]).all()
    pasted[0, 2:6, 1:4] = images[0, 2:6, 1:4]
    np.testing.assert_array_equal(pasted, images)
    shares = np.array([0.5, 0.9])
    mixed = blend(torch.from_numpy(images), torch.from_numpy(partners), shares).numpy()
    expected = shares[:, None, None, None] * images + (1 - shares)[:, None, None, None] * partners
    np.testing.assert_array_equal(mixed, np.rint(expected))
