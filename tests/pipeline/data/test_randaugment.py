"""RandAugment against torchvision's, operation by operation, and its draws."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import RandAugment, _apply_op

from pipeline.data.randaugment import MAGNITUDES, OPERATIONS, apply_operation, rand_augment
from pipeline.randomness import generator

THEIRS = dict(
    zip(
        OPERATIONS,
        ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
         "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"],
        strict=True,
    )
)  # fmt: skip


def picture(width: int = 37, height: int = 29) -> Image.Image:
    """Smooth and sharp parts, with all levels but not the full range in every channel."""
    x, y = np.meshgrid(np.linspace(20, 220, width), np.linspace(40, 250, height))
    image = Image.fromarray(np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8))
    ImageDraw.Draw(image).ellipse((8, 5, 25, 20), fill=(30, 200, 90), outline=(250, 30, 30))
    return image


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0, 1, 9, 17, 30])
@pytest.mark.parametrize("negative", [False, True])
def test_operation_equals_torchvisions(operation: str, magnitude: int, negative: bool):
    image = picture()
    space = RandAugment()._augmentation_space(MAGNITUDES, (image.height, image.width))
    strengths, signed = space[THEIRS[operation]]
    strength = float(strengths[magnitude].item()) if strengths.ndim else 0.0
    strength *= -1 if signed and negative else 1
    theirs = np.asarray(_apply_op(image, THEIRS[operation], strength, InterpolationMode.BILINEAR, None)).astype(int)
    ours = np.asarray(apply_operation(image, operation, magnitude, negative=negative)).astype(int)
    # Their coefficients are of float32 or pass through an angle and back.
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.1


def test_there_are_fourteen_operations_and_all_are_drawn():
    assert len(set(OPERATIONS)) == 14 == len(RandAugment()._augmentation_space(MAGNITUDES, (8, 8)))
    image = picture()
    drawn: Counter[bytes] = Counter(
        rand_augment(image, generator(0, "randaugment", 0, index), 1, 20).tobytes() for index in range(1400)
    )
    signed = OPERATIONS[1:10]
    expected = {
        apply_operation(image, name, 20, negative=negative).tobytes(): 1400 / 14 / (2 if name in signed else 1)
        for name in OPERATIONS
        for negative in (False, True)
    }
    assert set(drawn) == set(expected)
    for result, count in expected.items():
        assert abs(drawn[result] - count) < 5 * count**0.5


def test_operations_follow_one_another():
    image = picture()
    twice = rand_augment(image, generator(3, "randaugment", 1, 5), 2, 12)
    chosen = generator(3, "randaugment", 1, 5)
    names = [OPERATIONS[number] for number in chosen.integers(14, size=2)]
    signs = chosen.random(2) < 0.5
    for name, negative in zip(names, signs, strict=True):
        image = apply_operation(image, name, 12, negative=bool(negative))
    assert twice.tobytes() == image.tobytes()
    assert twice.size == picture().size


def test_the_image_given_is_left_alone():
    image = picture()
    before = image.tobytes()
    for index in range(40):
        rand_augment(image, generator(0, "randaugment", 0, index), 3, 25)
    assert image.tobytes() == before
