from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from pipeline.data import colour
from pipeline.data.colour import jitter, jitter_at_once, jitter_in_blocks
from tests.pipeline.data.test_pixels import noise

ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
ORDERS = list(permutations(range(3)))
FACTORS = st.one_of(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.floats(0, 3))


def changed_by(way, images: np.ndarray, factors: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Copies of images, changed."""
    changed = torch.from_numpy(images.copy())
    way(changed, factors, order)
    return changed.numpy()


def by_pillow(images: np.ndarray, factors: np.ndarray, order: np.ndarray) -> np.ndarray:
    changed = []
    for pixels, strengths, operations in zip(images, factors.tolist(), order.tolist(), strict=True):
        image = Image.fromarray(pixels)
        for operation in operations:
            image = ENHANCERS[operation](image).enhance(strengths[operation])
        changed.append(np.asarray(image))
    return np.stack(changed)


@pytest.mark.parametrize("way", [jitter_in_blocks, jitter_at_once])
@settings(deadline=None, max_examples=60)
@given(
    drawn=st.lists(st.tuples(st.tuples(FACTORS, FACTORS, FACTORS), st.sampled_from(ORDERS)), min_size=1, max_size=9),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 99),
)
def test_colours_are_changed_as_pillow_changes_them(way, drawn, shape, seed):
    images = noise(len(drawn), *shape, seed)
    factors, order = (np.array(each) for each in zip(*drawn, strict=True))
    np.testing.assert_array_equal(changed_by(way, images, factors, order), by_pillow(images, factors, order))


@pytest.mark.parametrize("side", [32, 256, 300])  # sums of more than 255 * 256 * 256 are beyond what float32 holds
@pytest.mark.parametrize("way", [jitter_in_blocks, jitter_at_once])
def test_large_images_have_the_mean_of_all_their_pixels(way, side: int):
    images = np.maximum(noise(6, side, side, 1), 200)  # bright: a large sum
    random = np.random.default_rng(0)
    factors, order = random.uniform(0, 2, (6, 3)), np.array(ORDERS)
    np.testing.assert_array_equal(changed_by(way, images, factors, order), by_pillow(images, factors, order))


def test_many_images_are_changed_as_few_are():
    images = noise(9, 128, 128, 5)
    factors, order = np.random.default_rng(3).uniform(0, 2, (9, 3)), np.array([*ORDERS, *ORDERS[:3]])
    together = changed_by(jitter, images, factors, order)
    assert images.size >= 3 * colour._MANY_PIXELS
    for row in range(9):
        part = slice(row, row + 1)
        np.testing.assert_array_equal(changed_by(jitter, images[part], factors[part], order[part]), together[part])


def test_blocks_of_any_size_and_threads_of_any_number_give_the_same(monkeypatch: pytest.MonkeyPatch):
    images = noise(70, 8, 6, 4)
    random = np.random.default_rng(1)
    factors, order = random.uniform(0, 2, (70, 3)), random.permuted(np.tile(np.arange(3), (70, 1)), axis=1)
    expected = changed_by(jitter_at_once, images, factors, order)
    for pixels in (1, 48, 49, 200):
        for threads in (1, 3):
            monkeypatch.setattr(colour, "_PIXELS_AT_ONCE", pixels)
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            np.testing.assert_array_equal(changed_by(jitter_in_blocks, images, factors, order), expected)


def test_images_in_another_layout_are_put_together_as_on_other_devices():
    images = noise(3, 5, 4, 2)
    factors, order = np.full((3, 3), 1.5), np.array(ORDERS[:3])
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not planes.is_contiguous()
    assert jitter(planes, factors, order) is planes
    np.testing.assert_array_equal(planes.numpy(), changed_by(jitter, images, factors, order))


def test_no_images_are_none_afterwards():
    none = torch.empty((0, 5, 4, 3), dtype=torch.uint8)
    assert jitter(none, np.empty((0, 3)), np.empty((0, 3), dtype=np.int64)).shape == none.shape
