"""Maps over images: colours against matplotlib's, places against the crop that the network sees."""

import numpy as np
import pytest
from PIL import Image

from exporters.images.overlay import enlarged, overlay, overlay_on_photo, scaled
from exporters.images.preprocessing import Geometry


def test_colours_are_those_of_inferno() -> None:
    colormaps = pytest.importorskip("matplotlib").colormaps
    values = np.linspace(0, 1, 256)
    black = np.zeros((1, 256, 3), np.uint8)
    found = overlay(black, values[None])[0] / 0.55
    expected = colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.abs(found - expected).max() < 4


def test_picture_shows_through() -> None:
    white = np.full((4, 4, 3), 255, np.uint8)
    assert (overlay(white, np.zeros((2, 2))) >= 0.45 * 255 - 1).all()
    assert overlay(white, np.ones((2, 2))).min() > overlay(white, np.zeros((2, 2))).max() * 0.9


def test_each_map_is_scaled_by_itself_and_flat_ones_are_zero() -> None:
    maps = np.stack([np.array([[-2.0, 0.0], [1.0, 2.0]]), np.full((2, 2), 7.0)])
    np.testing.assert_allclose(scaled(maps)[0], [[0, 0.5], [0.75, 1]])
    assert not scaled(maps)[1].any()


def test_enlarged_map_keeps_its_corners_and_stays_in_bounds() -> None:
    large = enlarged(np.array([[0.0, 1.0], [1.0, 0.0]]), (6, 10))
    assert large.shape == (6, 10) and large.min() >= 0 and large.max() <= 1
    assert large[0, 0] < 0.1 and large[0, -1] > 0.9 and large[-1, 0] > 0.9


@pytest.mark.parametrize("size", [(600, 300), (300, 600)])
def test_map_lies_on_the_part_that_the_network_sees(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, "white")
    shown = np.asarray(overlay_on_photo(photo, Geometry(20, 30), np.array([[0.0, 1.0], [1.0, 0.0]])))
    assert shown.shape == (size[1], size[0], 3)
    touched = (shown != 255).any(axis=-1)
    rows, columns = (np.flatnonzero(touched.any(axis=axis)) for axis in (1, 0))
    # The shorter side of 300 becomes 30, of which the middle 20 are seen: 200 of each side, in the middle.
    middle = {300: (50, 249), 600: (200, 399)}
    assert (rows[0], rows[-1]) == middle[size[1]] and (columns[0], columns[-1]) == middle[size[0]]


@pytest.mark.parametrize(
    ("size", "expected"), [((4000, 2000), (1024, 512)), ((32, 24), (256, 192)), ((300, 1), (300, 1))]
)
def test_pictures_are_neither_huge_nor_tiny(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, "grey")
    assert overlay_on_photo(photo, Geometry(8, 8), np.zeros((2, 2))).size == expected
