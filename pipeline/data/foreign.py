"""Drawn images that show nothing: what a classifier of photographs should not know."""

from collections.abc import Callable

import numpy as np

from pipeline.randomness import generator


def drawn_foreign(kind: str, count: int, size: int, seed: int) -> np.ndarray:
    """Images of one kind of `FOREIGN_KINDS`.

    Args:
        kind: its name.
        count: how many.
        size: side of the square, pixels.
        seed: of the recipe; an image follows from it, the kind and its number.

    Returns:
        uint8 `[count, size, size, 3]`.
    """
    draw = FOREIGN_KINDS[kind]
    images = [draw(generator(seed, f"foreign {kind}", 0, index), size) for index in range(count)]
    return np.stack([np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in images])


def _noise(random: np.random.Generator, size: int) -> np.ndarray:
    """Each value by itself."""
    return random.integers(0, 256, (size, size, 3)).astype(np.float64)


def _clouds(random: np.random.Generator, size: int) -> np.ndarray:
    """Noise whose amplitude falls as 1/f, as that of photographs does, stretched over all values."""
    frequencies = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequencies[0, 0] = 1 / size
    spectrum = np.fft.rfft2(random.standard_normal((size, size, 3)), axes=(0, 1)) / frequencies[..., None]
    clouds = np.fft.irfft2(spectrum, (size, size), axes=(0, 1))
    low, high = clouds.min(axis=(0, 1)), clouds.max(axis=(0, 1))
    return np.asarray(255 * (clouds - low) / np.maximum(high - low, 1e-12))


def _stripes(random: np.random.Generator, size: int) -> np.ndarray:
    """A grating between two colours, of any direction, with 2 to 16 periods."""
    angle, periods, phase = random.uniform(0, np.pi), random.uniform(2, 16), random.uniform(0, 2 * np.pi)
    colours = random.uniform(0, 255, (2, 3))
    places = np.arange(size) / size
    along = np.cos(angle) * places[None] + np.sin(angle) * places[:, None]
    share = (1 + np.sin(2 * np.pi * periods * along + phase))[..., None] / 2
    return np.asarray(share * colours[0] + (1 - share) * colours[1])


def _rectangles(random: np.random.Generator, size: int) -> np.ndarray:
    """40 rectangles of plain colours, the later over the earlier ones."""
    image = np.empty((size, size, 3))
    image[:] = random.uniform(0, 255, 3)
    for _ in range(40):
        top, left = random.uniform(-0.2, 1, 2) * size
        height, width = random.uniform(0.05, 0.5, 2) * size
        rows = slice(max(int(top), 0), max(int(top + height), 0))
        columns = slice(max(int(left), 0), max(int(left + width), 0))
        image[rows, columns] = random.uniform(0, 255, 3)
    return image


def _plain(random: np.random.Generator, size: int) -> np.ndarray:
    """One colour, as of a covered camera, with little noise."""
    return random.uniform(0, 255, 3) + random.normal(0, 2, (size, size, 3))


FOREIGN_KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "noise": _noise,
    "clouds": _clouds,
    "stripes": _stripes,
    "rectangles": _rectangles,
    "plain": _plain,
}
"""Name → what draws one, as float `[size, size, 3]`."""
