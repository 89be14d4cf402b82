import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pipeline.data.birds_demo.drawing import Painter, ellipse, hsv, mix, ribbon, shade, spline

coordinate = st.floats(-2, 2, allow_nan=False)
point = st.tuples(coordinate, coordinate)


@settings(deadline=None, max_examples=50)
@given(st.lists(point, min_size=3, max_size=8), st.booleans(), st.integers(1, 6))
def test_spline_goes_through_its_points(points: list[tuple[float, float]], closed: bool, steps: int) -> None:
    curve = spline(points, closed=closed, steps=steps)
    assert len(curve) == (len(points) * steps if closed else (len(points) - 1) * steps + 1)
    np.testing.assert_allclose(curve[::steps], points, atol=1e-12)


def test_spline_of_a_straight_line_is_straight() -> None:
    curve = np.array(spline([(0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0)], closed=False))
    np.testing.assert_allclose(curve[:, 1], 2 * curve[:, 0], atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(point, point, st.tuples(coordinate, coordinate), st.floats(-180, 180), st.floats(-180, 180))
def test_moved_painters_compose_like_matrices(
    local: tuple[float, float],
    origin: tuple[float, float],
    scale: tuple[float, float],
    inner: float,
    outer: float,
) -> None:
    def matrix(at: tuple[float, float], by: tuple[float, float], degrees: float) -> np.ndarray:
        a = math.radians(degrees)
        rotation = np.array([[math.cos(a), -math.sin(a), at[0]], [math.sin(a), math.cos(a), at[1]], [0, 0, 1]])
        return rotation @ np.diag([*by, 1.0])

    painter = Painter.over(Image.new("RGB", (10, 10))).moved((0.3, 0.7), (1.0, 1.0), outer).moved(origin, scale, inner)
    expected = np.diag([10.0, 10.0, 1.0]) @ matrix((0.3, 0.7), (1.0, 1.0), outer) @ matrix(origin, scale, inner)
    np.testing.assert_allclose(painter.at(*local), (expected @ [*local, 1.0])[:2], atol=1e-9)


@pytest.mark.parametrize("line", [[(0.0, 0.0), (4.0, 0.0)], [(0.0, 0.0), (2.0, 0.0), (4.0, 0.0)]])
def test_ribbon_has_the_given_widths_at_its_ends(line: list[tuple[float, float]]) -> None:
    outline = ribbon(line, 2.0, 1.0)
    count = len(line)
    assert outline[0] == pytest.approx((0.0, 1.0)) and outline[-1] == pytest.approx((0.0, -1.0))
    assert outline[count - 1] == pytest.approx((4.0, 0.5)) and outline[count] == pytest.approx((4.0, -0.5))


def test_zero_length_ribbon_is_finite() -> None:
    assert np.isfinite(ribbon([(1.0, 1.0), (1.0, 1.0)], 0.1, 0.1)).all()


def test_fill_covers_the_outline_and_nothing_else() -> None:
    image = Image.new("L", (40, 40))
    red = Image.new("RGB", (40, 40))
    Painter.over(red).fill([(0.25, 0.25), (0.75, 0.25), (0.75, 0.5), (0.25, 0.5)], (200.0, 0.0, 0.0))
    ImageDraw.Draw(image).rectangle((10, 10, 30, 20), fill=200)
    assert np.array_equal(np.asarray(red)[..., 0], np.asarray(image))


def test_ellipse_and_colours_equal_the_formulas() -> None:
    outline = np.array(ellipse((1.0, 2.0), 3.0, 0.5)) - (1.0, 2.0)
    np.testing.assert_allclose((outline / (3.0, 0.5)) ** 2 @ [1, 1], 1.0)
    assert mix((0, 0, 0), (100, 200, 50), 0.5) == (50, 100, 25)
    assert shade((200, 100, 0), 2.0) == (255, 200, 0)
    assert hsv(1 / 3, 1.0, 1.0) == pytest.approx((0, 255, 0))
    assert hsv(-2 / 3, 5.0, 2.0) == pytest.approx((0, 255, 0))
