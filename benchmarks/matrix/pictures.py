"""Labelled images: drawn ones, and those of an archive of class folders."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.images.preprocessing import Preprocessing
from exporters.parity import Batch

CLASSES = 10
_SHARE = 0.65  # of a class's own pattern in an image of it
_NOISE = 12.0
_PATCHES = 4
BATCH = 64


@dataclass(frozen=True)
class Pictures:
    """Uint8 images `[N, S, S, 3]`, int64 labels `[N]` and N names."""

    images: np.ndarray
    labels: np.ndarray
    names: list[str]

    def batches(self) -> Iterator[Batch]:
        """All of them, as parity takes them."""
        for start in range(0, len(self.images), BATCH):
            part = slice(start, start + BATCH)
            yield self.images[part], self.labels[part], self.names[part]

    def spread(self, count: int) -> np.ndarray:
        """At most `count` of the images, at equal distances."""
        chosen = np.unique(np.linspace(0, len(self.images) - 1, min(count, len(self.images))).astype(int))
        return self.images[chosen]

    def take(self, mask: np.ndarray) -> "Pictures":
        """Those where the mask is true."""
        names = [name for name, taken in zip(self.names, mask.tolist(), strict=True) if taken]
        return Pictures(self.images[mask], self.labels[mask], names)


def drawn(count: int, size: int, split: str) -> Pictures:
    """Ten classes in turn: a pattern of colours each, blended half and half with another one for each image, and noise.

    Smooth colours, as photographs have them, and an easy task: networks learn it in seconds, with the margins between
    classes that trained networks have.
    """
    patterns = np.random.default_rng(0).integers(0, 256, (CLASSES, _PATCHES, _PATCHES, 3))
    random = np.random.default_rng({"train": 1, "validation": 2}[split])
    labels = np.arange(count) % CLASSES
    others = random.integers(0, 256, (count, _PATCHES, _PATCHES, 3))
    coarse = (_SHARE * patterns[labels] + (1 - _SHARE) * others).astype(np.uint8)
    smooth = np.stack([_enlarged(patches, size) for patches in coarse])
    images = np.clip(smooth + random.normal(0, _NOISE, smooth.shape), 0, 255).astype(np.uint8)
    return Pictures(images, labels, [f"{split} {index}" for index in range(count)])


def _enlarged(patches: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(patches).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)


def read_archive(path: Path, split: str, preprocessing: Preprocessing) -> tuple[Pictures, list[str]]:
    """The images `<any>/<split>/<class>/*` of a zip file in the order of their names, and the class names."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in sorted(archive.namelist()) if Path(name).parts[-3:-2] == (split,)]
        classes = sorted({Path(name).parts[-2] for name in found})
        images = [preprocessing.apply(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in found]
    labels = np.array([classes.index(Path(name).parts[-2]) for name in found])
    return Pictures(np.stack(images), labels, found), classes
