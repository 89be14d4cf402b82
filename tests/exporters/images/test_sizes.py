import pytest

from exporters.images.sizes import default_resize, resized_shape


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (96, 110), (95, 95), (32, 32)])
def test_default_resize_leaves_a_margin_from_96_pixels(size: int, resize: int) -> None:
    assert default_resize(size) == resize


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(640, 480, (42, 32)), (480, 640, (32, 42)), (10, 10, (32, 32)), (3, 10, (32, 106))]
)
def test_longer_side_is_rounded_down(width: int, height: int, shape: tuple[int, int]) -> None:
    assert resized_shape(width, height, 32) == shape
