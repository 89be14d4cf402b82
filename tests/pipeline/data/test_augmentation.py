from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.randaugment import rand_augment
from pipeline.randomness import generator
from tests.pipeline.data.conftest import Augment, RandAugment
from tests.pipeline.data.reference import augmented

GEOMETRY = Geometry(16, 20)
CROPS = ("random", "resized", "shift", "none")
STILL = Augment(flip=False)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def augmentation(seed: int = 0, **changes: object) -> Augmentation:
    return Augmentation(replace(STILL, **changes), GEOMETRY, seed)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    crop=st.sampled_from(CROPS),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    address=st.tuples(st.integers(0, 1000), st.integers(0, 2**31)),
)
def test_augmentation_is_reproducible_and_gives_the_square(crop, width, height, seed, address):
    epoch, index = address
    image = noise(width, height)
    before = image.tobytes()
    augment = augmentation(seed, crop=crop, flip=True, jitter=0.4, randaugment=RandAugment(), erasing=0.5)
    first = augment(image, epoch, index)
    assert first.shape == (16, 16, 3)
    assert first.dtype == np.uint8
    augment(image, epoch + 1, index)
    other = Augmentation(augment.settings, GEOMETRY, seed)
    np.testing.assert_array_equal(other(noise(width, height), epoch, index), first)
    assert image.tobytes() == before


@pytest.mark.parametrize("crop", ["random", "resized", "shift"])
def test_seed_pass_and_index_each_change_the_draw(crop: str):
    image = noise(40, 40)
    drawn = [
        augmentation(seed, crop=crop)(image, epoch, index).tobytes()
        for seed, epoch, index in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0), (0, 0, 2)]
    ]
    assert len(set(drawn)) >= 5  # two of few positions may meet


def test_augmentation_repeats_after_a_cycle():
    image = noise(40, 40)
    endless = augmentation(0, crop="random")
    cycled = replace(endless, cycle=3)
    for epoch in range(9):
        np.testing.assert_array_equal(cycled(image, epoch, 4), endless(image, epoch % 3, 4))


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


def test_no_augmentation_equals_evaluation_preprocessing():
    image = noise(45, 31)
    np.testing.assert_array_equal(augmentation(crop="none")(image, 3, 7), GEOMETRY.apply(image))


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


AUGMENTS = st.builds(
    Augment,
    crop=st.sampled_from(CROPS),
    scale=st.sampled_from([(0.08, 1.0), (0.5, 0.6)]),
    padding=st.integers(1, 20),
    flip=st.booleans(),
    jitter=st.sampled_from([0.0, 0.4, 1.0]),
    randaugment=st.sampled_from([None, None, RandAugment(2, 14)]),
    erasing=st.sampled_from([0.0, 0.6]),
)
SHAPES = st.tuples(st.integers(1, 50), st.integers(1, 50))


@settings(deadline=None, max_examples=150)
@given(
    augment=AUGMENTS,
    shapes=st.lists(SHAPES, min_size=1, max_size=6),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
)
def test_batch_is_what_pillow_makes_of_each_image_to_the_bit(augment, shapes, interpolation, seed, epoch):
    geometry = Geometry(16, 20, interpolation)
    images = [noise(*shape, seed=row) for row, shape in enumerate(shapes)]
    indices = np.random.default_rng(seed).choice(10**6, len(images), replace=False)
    together = Augmentation(augment, geometry, seed)  # type: ignore[arg-type]
    draws = together.draw(epoch, indices, np.array(shapes))
    crops = together.cut([together.preparation.apply(image) for image in images], draws)
    varied = together.vary(crops, draws).numpy()
    for image, index, found in zip(images, indices.tolist(), varied, strict=True):
        np.testing.assert_array_equal(found, augmented(image, augment, geometry, seed, epoch, index))


def test_jitter_moves_colours_within_its_strength():
    image = Image.new("RGB", (20, 20), (100, 100, 100))
    levels = [float(augmentation(crop="none", jitter=0.2)(image, 0, index).mean()) for index in range(300)]
    assert 79 <= min(levels) < 85  # grey is moved by brightness alone
    assert 115 < max(levels) <= 121
    coloured = augmentation(crop="none", jitter=0.9)(noise(20, 20), 0, 1)
    assert coloured.std(axis=2).mean() != noise(20, 20).crop((2, 2, 18, 18)).tobytes()


def test_no_jitter_leaves_the_pixels():
    np.testing.assert_array_equal(
        augmentation(crop="none", jitter=0.0)(noise(20, 20), 0, 1), GEOMETRY.apply(noise(20, 20))
    )


def test_randaugment_comes_after_the_crop_and_moves_no_other_draw():
    image = noise(30, 24)
    plain = augmentation(crop="random", flip=True)
    for index in range(20):
        square = Image.fromarray(plain(image, 2, index))
        expected = rand_augment(square, generator(0, "randaugment", 2, index), 3, 14)
        drawn = augmentation(crop="random", flip=True, randaugment=RandAugment(3, 14))(image, 2, index)
        np.testing.assert_array_equal(drawn, np.asarray(expected))


def test_erasing_fills_a_rectangle_in_some_images_with_their_mean_colour():
    image = noise(16, 16)
    base = augmentation(crop="none")(image, 0, 0)
    untouched, shares, aspects = 0, [], []
    for index in range(600):
        erased = augmentation(crop="none", erasing=0.75)(image, 0, index)
        changed = (erased != base).any(axis=2)
        if not changed.any():
            untouched += 1
            continue
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box == box[0, 0]).all()
        expected = base.reshape(-1, 3).astype(float).mean(axis=0)
        np.testing.assert_allclose(box[0, 0], expected, atol=0.5 + 1e-9)
        outside = ~changed
        outside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = False
        np.testing.assert_array_equal(erased[outside], base[outside])
        shares.append(box.shape[0] * box.shape[1] / 256)
        aspects.append(box.shape[1] / box.shape[0])
    assert 100 <= untouched <= 200
    assert min(shares) >= 0.01 and max(shares) <= 0.37  # 2 to 33 %, rounded to whole pixels of a small image
    assert min(aspects) < 0.5 and max(aspects) > 2
    assert np.mean(shares) == pytest.approx(0.175, abs=0.02)


def test_erasing_0_changes_no_image_and_1_every_image():
    image = noise(20, 20)
    plain = augmentation(crop="none")(image, 0, 3)
    np.testing.assert_array_equal(augmentation(crop="none", erasing=0.0)(image, 0, 3), plain)
    assert all((augmentation(crop="none", erasing=1.0)(image, 0, i) != plain).any() for i in range(50))


def test_the_interpolation_of_the_recipe_is_used_in_training():
    image = noise(40, 31)
    for crop in ("random", "resized", "shift", "none"):
        soft = Augmentation(replace(STILL, crop=crop), GEOMETRY, 0)
        sharp = Augmentation(replace(STILL, crop=crop), replace(GEOMETRY, interpolation="bicubic"), 0)
        assert (soft(image, 0, 0) != sharp(image, 0, 0)).any()
