"""Augmentation in batches, as the loader does it, beside augmentation image by image by Pillow, as it once did."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Pair, drawn_index
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.draws import ATTEMPTS, ERASED, ERASED_ASPECT
from pipeline.data.index import DataIndex
from pipeline.data.loading import Loader, epoch_order
from pipeline.data.settings import AugmentSettings
from pipeline.randomness import generator

PLAIN = AugmentSettings(crop="shift", padding=4, flip=True, jitter=0, erasing=0)
KINDS = {
    "augmentation": PLAIN,
    "augmentation_erasing": PLAIN.model_copy(update={"erasing": 0.25}),
    "augmentation_jitter": PLAIN.model_copy(update={"jitter": 0.4}),
}
"""Comparison → shift and mirror alone, and with either of what follows them."""

_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def measure_kinds(folder: Path, pair: Pair, rounds: int) -> list[Claim]:
    """Image by image over in batches, each from decoded pixels in memory: at least 20 for each kind."""
    pair = replace(pair, images=10 * pair.images, batch=2 * pair.batch)
    index = drawn_index(folder, pair)
    facts = {"images": pair.images, "batch": pair.batch}
    with Loader(index, index.root, 0) as loader:
        claims = []
        for name, settings in KINDS.items():
            costs = interleaved(contenders(loader, settings, pair.batch), rounds)
            claims.append(Claim(name, "image by image", "in batches", costs, pair.pixels, 20, facts, at_least=True))
    return claims


def contenders(loader: Loader, settings: AugmentSettings, batch: int) -> dict[str, Callable[[], object]]:
    """An epoch either way, another one each time; what is decoded was decoded before."""
    size = int(loader.index.splits["train"].sizes[0, 0])
    augmentation = Augmentation(settings, Geometry(size, size), 0)
    pixels, epochs = decoded(loader.index), itertools.count()

    def exhaust(batches: Iterator[object]) -> None:
        for _ in batches:
            pass

    return {
        "image by image": lambda: exhaust(image_by_image(pixels, augmentation, batch, next(epochs))),
        "in batches": lambda: exhaust(loader.training_batches(augmentation, batch, 0, next(epochs))),
    }


def decoded(index: DataIndex) -> list[bytes]:
    """The pixels of the training images."""
    return [Image.open(index.root / path).convert("RGB").tobytes() for path in index.splits["train"].paths]


def image_by_image(pixels: Sequence[bytes], augmentation: Augmentation, batch: int, epoch: int) -> Iterator[Tensor]:
    """Batches uint8 `[B, 3, S, S]` as the loader made them at commit 3e4493c, to the same bits.

    A random generator for each image and purpose, Pillow for each operation. Shift, mirror, colour and erasing of
    images that are as large as the student's.
    """
    order = epoch_order(augmentation.seed, epoch, len(pixels))
    for start in range(0, len(order), batch):
        squares = [
            _varied(pixels[index], augmentation, epoch, index) for index in order[start : start + batch].tolist()
        ]
        yield torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def _varied(pixels: bytes, augmentation: Augmentation, epoch: int, index: int) -> np.ndarray:
    settings, geometry, seed = augmentation.settings, augmentation.geometry, augmentation.seed
    size, padding = geometry.size, settings.padding
    image = Image.fromarray(geometry.apply(Image.frombytes("RGB", (size, size), pixels)))
    random = generator(seed, "crop", epoch, index)
    left, top = (int(random.integers(-padding, side + padding - size + 1)) for side in image.size)
    image = image.crop((left, top, left + size, top + size))
    if settings.flip and generator(seed, "flip", epoch, index).random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if settings.jitter > 0:
        random = generator(seed, "jitter", epoch, index)
        factors = random.uniform(1 - settings.jitter, 1 + settings.jitter, size=3)
        for i in random.permutation(3).tolist():
            image = _ENHANCERS[i](image).enhance(float(factors[i]))
    square = np.asarray(image, dtype=np.uint8)
    return _erased(square, settings.erasing, seed, epoch, index) if settings.erasing > 0 else square


def _erased(square: np.ndarray, share: float, seed: int, epoch: int, index: int) -> np.ndarray:
    random = generator(seed, "erasing", epoch, index)
    if random.random() >= share:
        return square
    height, width = square.shape[:2]
    draws = random.random(2 * ATTEMPTS + 2).tolist()
    lowest, highest = (math.log(aspect) for aspect in ERASED_ASPECT)
    for place in range(2, len(draws), 2):
        area = (ERASED[0] + draws[place] * (ERASED[1] - ERASED[0])) * width * height
        aspect = math.exp(lowest + draws[place + 1] * (highest - lowest))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 1 <= box_width <= width and 1 <= box_height <= height:
            left, top = int(draws[0] * (width - box_width + 1)), int(draws[1] * (height - box_height + 1))
            erased = square.copy()
            mean = np.rint(square.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
            erased[top : top + box_height, left : left + box_width] = mean
            return erased
    return square
