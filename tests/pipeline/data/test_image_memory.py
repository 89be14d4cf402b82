from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import image_memory
from pipeline.data.image_memory import ImageMemory, pixels_of

CPU = torch.device("cpu")


def noise(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def filled(images: list[Image.Image]) -> ImageMemory:
    memory = ImageMemory(np.array([image.size for image in images]), CPU)
    for position, image in enumerate(images):
        memory.put(position, image)
    return memory


@settings(deadline=None, max_examples=150)
@given(
    shapes=st.lists(st.tuples(st.integers(5, 20), st.integers(5, 20)), min_size=1, max_size=5),
    same=st.booleans(),
    squares=st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 25), st.integers(-9, 25), st.booleans()), min_size=1),
    size=st.integers(1, 12),
)
def test_squares_are_pillows_crops(shapes, same, squares, size):
    images = [noise(*(shapes[0] if same else shape), seed) for seed, shape in enumerate(shapes)]
    memory = filled(images)
    positions = np.array([place % len(images) for place, *_ in squares])
    corners = np.array([(left, top) for _, left, top, _ in squares])
    mirrored = np.array([flip for *_, flip in squares])
    expected = []
    for position, (_, left, top, flip) in zip(positions.tolist(), squares, strict=True):
        square = images[position].crop((left, top, left + size, top + size))
        expected.append(np.asarray(square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else square))
    np.testing.assert_array_equal(memory.squares(positions, corners, mirrored, size).numpy(), expected)
    with mock.patch.object(image_memory, "_CACHED_PIXELS", 3 * size**2):
        np.testing.assert_array_equal(memory.squares(positions, corners, mirrored, size).numpy(), expected)
    # As on other devices, and for images of several shapes.
    np.testing.assert_array_equal(memory._gathered(positions, corners, mirrored, size).numpy(), expected)


def test_images_come_back_as_they_were_put():
    images = [noise(7, 5, 0), noise(3, 9, 1), noise(7, 5, 2)]
    memory = ImageMemory(np.array([image.size for image in images]), CPU)
    assert memory.missing(np.array([2, 0, 1])) == [2, 0, 1]
    for position in (2, 0):
        memory.put(position, images[position])
    assert memory.missing(np.array([2, 0, 1])) == [1]
    for found, image in zip(memory.images(np.array([2, 0])), (images[2], images[0]), strict=True):
        assert found.size == image.size and found.tobytes() == image.tobytes()


def test_image_of_another_size_is_refused():
    memory = filled([noise(7, 5, 0)])
    with pytest.raises(RuntimeError):
        memory.put(0, noise(5, 5, 1))


def test_pixels_are_counted_without_overflow():
    assert pixels_of(np.array([[60_000, 60_000], [1, 2]], dtype=np.int32)) == 3_600_000_002
