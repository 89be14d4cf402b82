import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.images.preprocessing import Geometry
from pipeline.data.preparation import Preparation

GEOMETRY = Geometry(16, 20)
KINDS = ("centre", "resized", "whole")


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(KINDS), width=st.integers(1, 70), height=st.integers(1, 70))
def test_prepared_image_has_the_announced_size(kind, width, height):
    prepared = Preparation(kind, GEOMETRY).apply(Image.new("RGB", (width, height)))
    assert prepared.size == tuple(Preparation(kind, GEOMETRY).sizes(np.array([[width, height]]))[0].tolist())


def test_centre_is_what_evaluation_sees():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 45, 3), dtype=np.uint8))
    np.testing.assert_array_equal(Preparation("centre", GEOMETRY).apply(image), GEOMETRY.apply(image))


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_no_images_are_none(kind):
    assert Preparation(kind, GEOMETRY).sizes(np.empty((0, 2), dtype=np.int32)).shape == (0, 2)
