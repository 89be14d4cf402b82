from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.preprocessing import Preprocessing
from pipeline.data.augmentation import Augmentation, _resized_box
from pipeline.randomness import generator
from tests.pipeline.data.conftest import Augment

PREPROCESSING = Preprocessing(16, 20, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
CROPS = ("random", "resized", "shift", "none")
STILL = Augment(flip=False)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def augmentation(seed: int = 0, **changes: object) -> Augmentation:
    return Augmentation(replace(STILL, **changes), PREPROCESSING, seed)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    crop=st.sampled_from(CROPS),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    address=st.tuples(st.integers(0, 1000), st.integers(0, 2**31)),
)
def test_any_image_becomes_the_square_and_the_same_one_again(crop, width, height, seed, address):
    pass_, index = address
    image = noise(width, height)
    before = image.tobytes()
    augment = augmentation(seed, crop=crop, flip=True, jitter=0.4)
    first = augment(image, pass_, index)
    assert first.shape == (16, 16, 3)
    assert first.dtype == np.uint8
    augment(image, pass_ + 1, index)
    other = Augmentation(augment.settings, PREPROCESSING, seed)
    np.testing.assert_array_equal(other(noise(width, height), pass_, index), first)
    assert image.tobytes() == before


@pytest.mark.parametrize("crop", ["random", "resized", "shift"])
def test_seed_pass_and_index_each_change_the_draw(crop: str):
    image = noise(40, 40)
    drawn = [
        augmentation(seed, crop=crop)(image, pass_, index).tobytes()
        for seed, pass_, index in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0), (0, 0, 2)]
    ]
    assert len(set(drawn)) >= 5  # two of few positions may meet


def test_passes_come_again_after_a_cycle():
    image = noise(40, 40)
    endless = augmentation(0, crop="random")
    cycled = replace(endless, cycle=3)
    for pass_ in range(9):
        np.testing.assert_array_equal(cycled(image, pass_, 4), endless(image, pass_ % 3, 4))


@pytest.mark.parametrize("crop", CROPS)
def test_flip_mirrors_half_of_the_images_and_leaves_the_crop(crop: str):
    image = noise(30, 24)
    mirrored = 0
    for index in range(200):
        plain = augmentation(crop=crop)(image, 0, index)
        flipped = augmentation(crop=crop, flip=True)(image, 0, index)
        assert (flipped == plain).all() or (flipped == plain[:, ::-1]).all()
        mirrored += not (flipped == plain).all()
    assert 70 <= mirrored <= 130


def test_none_is_what_evaluation_sees():
    image = noise(45, 31)
    np.testing.assert_array_equal(augmentation(crop="none")(image, 3, 7), PREPROCESSING.apply(image))


def test_shift_is_a_window_of_the_image_in_black():
    image = noise(16, 16)
    padded = np.pad(np.asarray(image), ((3, 3), (3, 3), (0, 0)))
    windows = {padded[y : y + 16, x : x + 16].tobytes() for y in range(7) for x in range(7)}
    drawn = {augmentation(crop="shift", padding=3)(image, 0, index).tobytes() for index in range(600)}
    assert drawn == windows


def test_random_is_a_window_of_the_resized_image():
    image = noise(20, 23)
    pixels = np.asarray(image)
    windows = {pixels[y : y + 16, x : x + 16].tobytes() for y in range(8) for x in range(5)}
    drawn = {augmentation(crop="random")(image, 0, index).tobytes() for index in range(600)}
    assert drawn == windows


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(1, 500),
    height=st.integers(1, 500),
    scale=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted).map(tuple),
    index=st.integers(0, 10_000),
)
def test_a_resized_box_lies_inside_with_area_and_aspect_in_range(width, height, scale, index):
    left, top, right, bottom = _resized_box(generator(0, "crop", 0, index), width, height, scale)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    box_width, box_height = right - left, bottom - top
    if min(width, height) >= 100:
        assert 0.75 - 0.1 <= box_width / box_height <= 4 / 3 + 0.1
        if 3 / 4 <= width / height <= 4 / 3 and scale[1] < 0.7:  # some attempt fits
            assert scale[0] - 0.02 <= box_width * box_height / (width * height) <= scale[1] + 0.02


def test_resized_boxes_are_spread_over_scales_and_places():
    boxes = np.array([_resized_box(generator(0, "crop", 0, i), 200, 200, (0.25, 0.5)) for i in range(2000)])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 40_000
    assert abs(areas.mean() - 0.375) < 0.01
    assert abs(areas.std() - 0.25 / 12**0.5) < 0.01
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres.mean(axis=0), 100, atol=2)
    assert (boxes[:, 0] == 0).any()
    assert (boxes[:, 2] == 200).any()


def test_jitter_moves_colours_within_its_strength():
    image = Image.new("RGB", (20, 20), (100, 100, 100))
    levels = [float(augmentation(crop="none", jitter=0.2)(image, 0, index).mean()) for index in range(300)]
    assert 79 <= min(levels) < 85  # grey is moved by brightness alone
    assert 115 < max(levels) <= 121
    coloured = augmentation(crop="none", jitter=0.9)(noise(20, 20), 0, 1)
    assert coloured.std(axis=2).mean() != noise(20, 20).crop((2, 2, 18, 18)).tobytes()


def test_no_jitter_leaves_the_pixels():
    np.testing.assert_array_equal(
        augmentation(crop="none", jitter=0.0)(noise(20, 20), 0, 1), PREPROCESSING.apply(noise(20, 20))
    )
