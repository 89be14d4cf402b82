import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.device_cutting import cut_on_device
from tests.pipeline.data.conftest import Augment


@settings(deadline=None, max_examples=120)
@given(
    crop=st.sampled_from(["random", "resized", "shift", "none"]),
    shapes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    size=st.integers(1, 24),
    margin=st.integers(0, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_squares_are_those_of_pillow_to_the_bit(crop, shapes, interpolation, size, margin, seed):
    random = np.random.default_rng(seed)
    images = [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in shapes]
    geometry, settings = Geometry(size, size + margin, interpolation), Augment(crop=crop, scale=(0.08, 1.0), padding=7)
    augmentation, sizes = Augmentation(settings, geometry, seed), np.array(shapes)  # type: ignore[arg-type]
    draws = augmentation.draw(1, np.arange(len(images)), sizes)
    expected = augmentation.cut([augmentation.preparation.apply(image) for image in images], draws)
    pixels = torch.from_numpy(np.concatenate([np.asarray(image).reshape(-1, 3) for image in images]))
    starts = np.cumsum([0, *sizes.prod(axis=1)])[:-1]
    torch.testing.assert_close(cut_on_device(pixels, starts, sizes, draws, augmentation), expected, rtol=0, atol=0)
