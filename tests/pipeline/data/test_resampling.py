import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import resampling
from pipeline.data.resampling import resize_weights, resized_by_height, resized_windows

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@settings(deadline=None, max_examples=120)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 80), st.integers(1, 80)), min_size=1, max_size=5),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    size=st.integers(1, 30),
    at_once=st.sampled_from([1, 10**6]),
    seed=st.integers(0, 99),
)
def test_boxes_are_resized_as_pillow_resizes_them(shapes, interpolation, size, at_once, seed):
    random = np.random.default_rng(seed)
    images = [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in shapes]
    pixels = torch.from_numpy(np.concatenate([np.asarray(image).reshape(-1, 3) for image in images]))
    sizes = np.array(shapes)
    low = (random.random(sizes.shape) * sizes).astype(np.int64)
    boxes = np.concatenate([low, low + 1 + (random.random(sizes.shape) * (sizes - low)).astype(np.int64)], axis=1)
    starts, square = np.cumsum([0, *sizes.prod(axis=1)])[:-1], np.full(sizes.shape, size)
    by_height = resized_by_height(boxes, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "LEVELS_AT_ONCE", at_once)
        found = resized_windows(
            pixels, starts, sizes[:, 0], boxes, square, np.zeros_like(square), size, interpolation, by_height
        )
    for image, box, resized in zip(images, boxes.tolist(), found.numpy(), strict=True):
        expected = image.crop(box).resize((size, size), FILTERS[interpolation])
        np.testing.assert_array_equal(resized, np.asarray(expected))


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 200), shape=st.integers(1, 60), interpolation=st.sampled_from(["bilinear", "bicubic"]))
def test_weights_of_each_level_add_up_to_one(length, shape, interpolation):
    zero = np.zeros(1, dtype=np.int64)
    first, weights = resize_weights(np.array([length]), np.array([shape]), zero, shape, interpolation)
    assert (first >= 0).all() and (first < length).all()
    np.testing.assert_allclose(weights.sum(axis=2) / 2**22, 1, atol=1e-5)
