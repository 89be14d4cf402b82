"""What images look like, in 264 bytes each: a perceptual hash to find those that look alike, and a small picture to
compare them by."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from exporters.core.errors import TmkdError
from pipeline.data.checking import CHUNK, available_processors
from pipeline.data.copies import content_groups
from pipeline.data.listing import ProgressCallback
from pipeline.data.stores.base import Store

HASHED, FREQUENCIES = 32, 8
"""Side of the picture that is transformed, and number of its lowest frequencies along each side."""

SMALL = 16
"""Side of the picture that is kept."""

FLAT = 4.0
"""Standard deviation of grey values, of 255, below which an image shows nothing that could be compared."""


@dataclass(frozen=True)
class Look:
    """What an image looks like.

    Attributes:
        hash: of 64 bits, see `perceptual_hash`.
        picture: uint8 `[256]`, its grey values at 16 × 16 pixels, row by row.
        colour: the largest difference between red, green and blue at 16 × 16 pixels, 0 to 255.
    """

    hash: int
    picture: np.ndarray
    colour: int

    @property
    def spread(self) -> float:
        """Standard deviation of its grey values, in [0, 127.5]."""
        return float(self.picture.std())


def look_of(image: Image.Image) -> Look:
    """What an RGB image looks like."""
    small = image.resize((SMALL, SMALL), Image.Resampling.BILINEAR, reducing_gap=3.0)
    colours = np.asarray(small, dtype=np.int16)
    picture = np.asarray(small.convert("L"), dtype=np.uint8).reshape(-1)
    return Look(perceptual_hash(image.convert("L")), picture, int(np.ptp(colours, axis=2).max()))


def perceptual_hash(grey: Image.Image) -> int:
    """The perceptual hash by the discrete cosine transform, "pHash" (Zauner 2010, "Implementation and Benchmarking of
    Perceptual Image Hash Functions", section 3.2.1).

    The image at 32 × 32 pixels is transformed; of the 8 × 8 lowest frequencies, each gives a bit: whether its
    coefficient is above the median. The bits stand row by row, the first one highest. Saving again, resizing and other
    light change few bits; of images that have nothing to do with each other, some 32 of 64 differ.

    Args:
        grey: mode L.
    """
    small = grey.resize((HASHED, HASHED), Image.Resampling.LANCZOS, reducing_gap=3.0)
    basis = _cosines()
    coefficients = basis @ np.asarray(small, dtype=np.float64) @ basis.T
    bits = np.packbits(coefficients > np.median(coefficients))
    return int.from_bytes(bits.tobytes(), "big")


@cache
def _cosines() -> np.ndarray:
    """The lowest rows of the matrix of the DCT-II, float64 `[8, 32]`: `cos(π k (2 n + 1) / 64)`."""
    frequency, place = np.arange(FREQUENCIES)[:, None], np.arange(HASHED)[None]
    basis: np.ndarray = np.cos(np.pi * frequency * (2 * place + 1) / (2 * HASHED))
    return basis


@dataclass(eq=False)
class Looks:
    """What many images look like.

    Attributes:
        sha256: uint8 `[N, 32]`, by which an image is found here.
        hashes: uint64 `[N]`.
        pictures: uint8 `[N, 256]`.
        known: bool `[N]`; false: the image could not be read.
    """

    sha256: np.ndarray
    hashes: np.ndarray
    pictures: np.ndarray
    known: np.ndarray

    @classmethod
    def empty(cls, count: int) -> "Looks":
        """Room for so many images, none of which is known."""
        return cls(
            np.zeros((count, 32), np.uint8),
            np.zeros(count, np.uint64),
            np.zeros((count, SMALL * SMALL), np.uint8),
            np.zeros(count, bool),
        )

    def put(self, position: int, sha256: bytes, look: Look) -> None:
        """Keep what the image at a position looks like."""
        self.sha256[position] = np.frombuffer(sha256, dtype=np.uint8)
        self.hashes[position], self.pictures[position] = look.hash, look.picture
        self.known[position] = True

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation of each image's grey values, float64 `[N]`, in [0, 127.5]."""
        parts = [self.pictures[start : start + CHUNK].std(axis=1) for start in range(0, len(self.pictures), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def rows(self, sha256: np.ndarray) -> np.ndarray:
        """Where the images with these hashes, uint8 `[M, 32]`, are: int64 `[M]`; each must be here."""
        groups = content_groups(self.sha256, sha256)
        here, wanted = groups[: len(self.sha256)], groups[len(self.sha256) :]
        first = np.zeros(int(groups.max()) + 1 if len(groups) else 0, np.int64)
        first[here[::-1]] = np.arange(len(here))[::-1]
        rows: np.ndarray = first[wanted]
        return rows


def read_looks(
    store: Store, keys: Sequence[str], sha256: np.ndarray, progress: ProgressCallback | None = None
) -> Looks:
    """Look at images that were indexed before; those that cannot be read any more stay unknown.

    Args:
        store: where they lie.
        keys: `[N]`.
        sha256: uint8 `[N, 32]`.
        progress: called as images are done.
    """
    looks = Looks.empty(len(keys))

    def look(key: str) -> Look | None:
        try:
            return look_of(store.image(key))
        except (TmkdError, OSError):
            return None

    with ThreadPoolExecutor(available_processors()) as pool:
        for start in range(0, len(keys), CHUNK):
            for position, found in enumerate(pool.map(look, keys[start : start + CHUNK]), start=start):
                if found is not None:
                    looks.put(position, sha256[position].tobytes(), found)
                if progress is not None:
                    progress(position + 1, len(keys))
    looks.sha256[:] = sha256
    return looks
