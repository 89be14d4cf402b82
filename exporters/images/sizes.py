"""Sizes of images before and after the resize, as plain arithmetic."""

SMALLEST_SIZE_WITH_MARGIN = 96
"""Below this size an image is resized to the crop itself: a margin of 1/8 would be a few pixels."""


def default_resize(size: int) -> int:
    """The shorter side before the centre crop where none is given: 8/7 of `size` (256 for 224), or `size` below 96."""
    return size if size < SMALLEST_SIZE_WITH_MARGIN else round(size * 8 / 7)


def resized_shape(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) once the shorter side is `side`; the longer one by the same factor, rounded down."""
    longer = int(side * max(width, height) / min(width, height))
    return (side, longer) if width <= height else (longer, side)
