"""Augmentation of one image at a time, by Pillow and the sample's own generator: what batches are compared with."""

import math

import numpy as np
from PIL import Image, ImageEnhance

from exporters.images.preprocessing import Geometry, resize_shorter_side
from pipeline.data.mixing import Mix
from pipeline.data.randaugment import rand_augment
from pipeline.randomness import generator
from tests.pipeline.data.conftest import Augment

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)

Box = tuple[int, int, int, int]


def augmented(image: Image.Image, settings: Augment, geometry: Geometry, seed: int, epoch: int, index: int):
    """uint8 `[size, size, 3]`."""
    image = _cropped(image, settings, geometry, seed, epoch, index)
    if settings.flip and generator(seed, "flip", epoch, index).random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if settings.randaugment is not None:
        random = generator(seed, "randaugment", epoch, index)
        image = rand_augment(image, random, settings.randaugment.operations, settings.randaugment.magnitude)
    if settings.jitter > 0:
        random = generator(seed, "jitter", epoch, index)
        factors = random.uniform(1 - settings.jitter, 1 + settings.jitter, size=3)
        for i in random.permutation(3).tolist():
            image = ENHANCERS[i](image).enhance(float(factors[i]))
    pixels = np.array(image, dtype=np.uint8)
    random = generator(seed, "erasing", epoch, index)
    if settings.erasing > 0 and random.random() < settings.erasing:
        box = random_box(random, geometry.size, geometry.size, (0.02, 0.33), (0.3, 3.3))
        if box is not None:
            left, top, right, bottom = box
            pixels[top:bottom, left:right] = np.rint(pixels.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
    return pixels


def blended(mix: Mix, image: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Two augmented images uint8 `[S, S, 3]` as one."""
    if mix.box is None:
        return np.rint(mix.share * image.astype(np.float64) + (1 - mix.share) * partner).astype(np.uint8)
    left, top, right, bottom = mix.box
    result = image.copy()
    result[top:bottom, left:right] = partner[top:bottom, left:right]
    return result


def _cropped(image: Image.Image, settings: Augment, geometry: Geometry, seed: int, epoch: int, index: int):
    random = generator(seed, "crop", epoch, index)
    size, resampling = geometry.size, FILTERS[geometry.interpolation]
    if settings.crop == "none":
        return Image.fromarray(geometry.apply(image))
    if settings.crop == "resized":
        box = resized_box(random, image.width, image.height, settings.scale)
        return image.crop(box).resize((size, size), resampling)
    if settings.crop == "random":
        image, padding = resize_shorter_side(image, geometry.resize, resampling), 0
    else:
        image = Image.fromarray(Geometry(size, size, geometry.interpolation).apply(image))
        padding = settings.padding
    left, top = (int(random.integers(-padding, side + padding - size + 1)) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def resized_box(random: np.random.Generator, width: int, height: int, scale: tuple[float, float]) -> Box:
    """A share of the area within `scale`; the whole centre where no attempt fits."""
    box = random_box(random, width, height, scale, (3 / 4, 4 / 3))
    if box is not None:
        return box
    aspect = min(max(width / height, 3 / 4), 4 / 3)
    box_width, box_height = min(width, max(1, round(height * aspect))), min(height, max(1, round(width / aspect)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def random_box(
    random: np.random.Generator, width: int, height: int, scale: tuple[float, float], aspects: tuple[float, float]
) -> Box | None:
    """Ten attempts; None where none fits."""
    draws = random.random(22).tolist()
    across, down = draws[:2]
    lowest, highest = math.log(aspects[0]), math.log(aspects[1])
    for attempt in range(10):
        share, position = draws[2 + 2 * attempt : 4 + 2 * attempt]
        area = (scale[0] + share * (scale[1] - scale[0])) * width * height
        aspect = math.exp(lowest + position * (highest - lowest))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 1 <= box_width <= width and 1 <= box_height <= height:
            left, top = int(across * (width - box_width + 1)), int(down * (height - box_height + 1))
            return left, top, left + box_width, top + box_height
    return None
