"""The networks, batches and images that all contenders share."""

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from pipeline.data.settings import DataSettings
from pipeline.models.build import build_model
from pipeline.models.clip import Clip, build_clip
from pipeline.models.tapped import TappedNetwork

LR, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4


@dataclass(frozen=True)
class Pair:
    """Teacher, student and CLIP at one image size.

    Attributes:
        pixels: side of the images.
        teacher, student, clip: by name.
        classes: K.
        batch: images in a step.
        steps: in one measured piece of work.
        images, epochs: of a measured training, end to end.
    """

    pixels: int
    teacher: str
    student: str
    clip: str
    classes: int
    batch: int
    steps: int
    images: int
    epochs: int


PAIRS = {
    32: Pair(32, "cifar:resnet56", "cifar:resnet20", "tiny", 100, batch=64, steps=4, images=1280, epochs=4),
    224: Pair(224, "torchvision:resnet50", "torchvision:mobilenet_v2", "ViT-B-32", 200, 8, 1, images=96, epochs=6),
}
TINY = Pair(32, "cifar:resnet8", "cifar:resnet8", "tiny", 5, batch=8, steps=1, images=20, epochs=1)
"""For a trial of the benchmark itself."""


class Subjects:
    """What is built of a pair: each contender has a student of its own, and all the same teachers and batches.

    Args:
        pair: their names and sizes.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        draws = np.random.default_rng(0)
        shape = (pair.steps, pair.batch, 3, pair.pixels, pair.pixels)
        pixels = torch.from_numpy(draws.integers(0, 256, shape, dtype=np.uint8))
        self.images = list(pixels.contiguous(memory_format=torch.contiguous_format))
        self.labels = list(torch.from_numpy(draws.integers(0, pair.classes, (pair.steps, pair.batch))))

    @property
    def facts(self) -> dict[str, Any]:
        """Names and sizes, as JSON values."""
        pair = self.pair
        return {"teacher": pair.teacher, "student": pair.student, "clip": pair.clip, "batch": pair.batch}

    def student(self) -> TappedNetwork:
        """A student, the same one each time."""
        return copy.deepcopy(self._student)

    def teacher(self) -> TappedNetwork:
        """The visual teacher, in eval mode, without gradients; a copy, since contenders may rebuild it."""
        return copy.deepcopy(self._teacher)

    @cached_property
    def _student(self) -> TappedNetwork:
        return self._build(self.pair.student, 1)

    @cached_property
    def _teacher(self) -> TappedNetwork:
        tapped = self._build(self.pair.teacher, 2)
        _settle(tapped.network, self.images[0])
        return tapped.eval().requires_grad_(False)

    @cached_property
    def clip(self) -> Clip:
        """CLIP at its random initialisation, which costs what a trained one does."""
        return build_clip(self.pair.clip, 0).eval().requires_grad_(False)

    def texts(self, views: int) -> Tensor:
        """Embeddings of the classes in each view, `[V, K, D]` of unit length: random ones."""
        with torch.no_grad():
            width = self.clip.encode_image(self.images[0][:1].float() / 255).shape[1]
        random = torch.Generator().manual_seed(3)
        drawn = torch.randn(views, self.pair.classes, width, generator=random)
        return nn.functional.normalize(drawn, dim=-1)

    def _build(self, name: str, seed: int) -> TappedNetwork:
        pair = self.pair
        return build_model(
            name, {}, "none", pair.classes, pair.pixels, seed=seed, purpose="student", replace_head=True
        ).tapped


def _settle(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the statistics of these images: with those of a new network, deep ones overflow."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(images.float() / 255)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def draw_folder(folder: Path, pair: Pair) -> Path:
    """Class folders of JPEG files at the size that the student sees: training images, and a few to validate on."""
    draws = np.random.default_rng(0)
    classes = min(pair.classes, 10)
    for split, count in (("train", pair.images), ("val", 2 * classes), ("test", classes)):
        for number in range(count):
            coarse = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((pair.pixels, pair.pixels), Image.Resampling.BICUBIC)
            path = folder / split / f"class {number % classes}" / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, quality=90)
    return folder


def drawn_index(folder: Path, pair: Pair) -> DataIndex:
    """The index of such a folder, made in `folder / "images"`."""
    root = draw_folder(folder / "images", pair)
    return build_index(DataSettings(dataset="folder", root=str(root), image_size=pair.pixels, resize=pair.pixels))
