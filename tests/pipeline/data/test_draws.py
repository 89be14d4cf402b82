import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.draws import ERASED, ERASED_ASPECT, Draws, area_boxes, rectangles, window_boxes
from pipeline.randomness import batch_generator, generator
from tests.pipeline.data.reference import random_box, resized_box

SIZES = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(1, 500),
    height=st.integers(1, 500),
    scale=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted).map(tuple),
    index=st.integers(0, 10_000),
)
def test_a_resized_box_lies_inside_with_area_and_aspect_in_range(width, height, scale, index):
    random = batch_generator(0, "crop", 0, np.array([index]))
    ((left, top, right, bottom),) = area_boxes(random, np.array([[width, height]]), scale).tolist()
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    box_width, box_height = right - left, bottom - top
    if min(width, height) >= 100:
        assert 0.75 - 0.1 <= box_width / box_height <= 4 / 3 + 0.1
        if 3 / 4 <= width / height <= 4 / 3 and scale[1] < 0.7:  # some attempt fits
            assert scale[0] - 0.02 <= box_width * box_height / (width * height) <= scale[1] + 0.02


def test_resized_boxes_are_spread_over_scales_and_places():
    boxes = area_boxes(batch_generator(0, "crop", 0, np.arange(2000)), np.full((2000, 2), 200), (0.25, 0.5))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 40_000
    assert abs(areas.mean() - 0.375) < 0.01
    assert abs(areas.std() - 0.25 / 12**0.5) < 0.01
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres.mean(axis=0), 100, atol=2)
    assert (boxes[:, 0] == 0).any()
    assert (boxes[:, 2] == 200).any()


@settings(deadline=None, max_examples=150)
@given(sizes=SIZES, seed=st.integers(0, 2**32 - 1))
def test_boxes_of_a_batch_are_those_of_each_image(sizes: list[tuple[int, int]], seed: int):
    indices = np.arange(len(sizes)) * 7
    areas = area_boxes(batch_generator(seed, "crop", 3, indices), np.array(sizes), (0.08, 1.0))
    erased = rectangles(batch_generator(seed, "crop", 3, indices), np.array(sizes), ERASED, ERASED_ASPECT)
    for index, size, area, box in zip(indices.tolist(), sizes, areas.tolist(), erased.tolist(), strict=True):
        assert tuple(area) == resized_box(generator(seed, "crop", 3, index), *size, (0.08, 1.0))
        expected = random_box(generator(seed, "crop", 3, index), *size, ERASED, ERASED_ASPECT)
        assert tuple(box) == ((0, 0, 0, 0) if expected is None else expected)


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, padding=st.integers(0, 20), seed=st.integers(0, 99))
def test_windows_of_a_batch_are_those_of_each_image(sizes: list[tuple[int, int]], padding: int, seed: int):
    sizes = [(width + 16, height + 16) for width, height in sizes]
    indices = np.arange(len(sizes)) + 5
    boxes = window_boxes(batch_generator(seed, "crop", 1, indices), np.array(sizes), 16, padding)
    for index, size, box in zip(indices.tolist(), sizes, boxes.tolist(), strict=True):
        random = generator(seed, "crop", 1, index)
        left, top = (int(random.integers(-padding, side + padding - 15)) for side in size)
        assert box == [left, top, left + 16, top + 16]


def test_rows_of_draws_keep_what_belongs_together():
    draws = Draws(4, np.array([7, 8, 9]), np.arange(12).reshape(3, 4), np.array([True, False, True]))
    some = draws.rows(np.array([2, 0]))
    assert some.epoch == 4 and some.factors is None
    assert some.indices.tolist() == [9, 7]
    assert some.boxes.tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    assert some.mirrored.tolist() == [True, True]
    assert draws.rows(slice(1, 2)).indices.tolist() == [8]
