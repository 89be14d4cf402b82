import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.special import logsumexp, softmax

from exporters.drift.values import answer_values, image_size, pixel_values


def pictures(seed: int, count: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize("side", [2, 7, 16, 31])
def test_values_of_small_images_are_those_of_all_their_pixels(side: int) -> None:
    images = pictures(side, 5, side)
    for image, (brightness, contrast, sharpness) in zip(images.astype(np.float64), pixel_values(images), strict=True):
        assert brightness == pytest.approx(image.mean(), rel=1e-5)
        assert contrast == pytest.approx(image.std(), rel=1e-5)
        assert sharpness == pytest.approx(np.abs(np.diff(image, axis=1)).mean(), rel=1e-5)


def test_values_of_a_large_image_are_those_of_evenly_spaced_rows() -> None:
    images = pictures(0, 1, 224)
    rows = images[0, ::14].astype(np.float64)
    assert pixel_values(images)[0, :2] == pytest.approx([rows.mean(), rows.std()], rel=1e-5)


def test_image_of_one_pixel_or_of_one_colour_has_no_contrast() -> None:
    assert pixel_values(np.full((1, 1, 1, 3), 7, np.uint8)).tolist() == [[7, 0, 0]]
    assert pixel_values(np.full((2, 40, 40, 3), 255, np.uint8)) == pytest.approx(np.array([[255, 0, 0]] * 2))


def test_values_do_not_depend_on_the_other_images_of_a_batch() -> None:
    images = pictures(1, 6, 48)
    single = np.concatenate([pixel_values(images[index : index + 1]) for index in range(6)])
    np.testing.assert_allclose(pixel_values(images), single, rtol=1e-6)


def test_blur_lowers_sharpness_and_darkness_lowers_brightness() -> None:
    image = Image.fromarray(pictures(2, 1, 64)[0])
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(2)))
    plain, soft, dark = pixel_values(np.stack([np.asarray(image), blurred, np.asarray(image) // 3]))
    assert soft[2] < plain[2] / 3 and soft[0] == pytest.approx(plain[0], rel=0.05)
    assert dark[0] == pytest.approx(plain[0] / 3, rel=0.05)


def test_answers_have_the_probability_and_the_energy_of_scipy() -> None:
    logits = np.random.default_rng(3).normal(0, 30, (9, 11)).astype(np.float32)
    found = answer_values(logits)
    np.testing.assert_allclose(found[:, 0], softmax(logits.astype(float), axis=1).max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], logsumexp(logits.astype(float), axis=1), rtol=1e-12)
    np.testing.assert_array_equal(found[:, 2], logits.argmax(axis=1))


def test_size_is_the_side_of_a_square_of_the_same_area() -> None:
    assert image_size(400, 100) == 200
