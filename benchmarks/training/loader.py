"""What the loader costs: its share of an epoch, and its speed beside augmentation image by image."""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.training import ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Pair, Subjects, drawn_index
from exporters.images.preprocessing import Geometry
from pipeline.console import Console
from pipeline.data.augmentation import Augmentation
from pipeline.data.loading import Loader
from pipeline.data.settings import AugmentSettings
from pipeline.randomness import generator
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import fit

PADDING = 4


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """The loader's epochs over whole ones of plain training: at most .05; image by image over it: at least 20."""
    pair = subjects.pair
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = drawn_index(folder, pair)
        decoded = [Image.open(index.root / path).convert("RGB") for path in index.splits["train"].paths]
        with Loader(index, index.root, 0) as loader:
            settings = ours.distill_settings("ce")
            training = ours.training_of(subjects, settings, None, loader, epochs=pair.epochs)
            console = Console(plain=True, stream=(folder / "said.txt").open("a"))

            def whole() -> None:
                checkpoint = Checkpoint(folder / "checkpoint.pt", "one")
                fit(training, make_fabric("cpu", "fp32"), checkpoint, console)
                checkpoint.remove()

            def load() -> None:
                for epoch in range(pair.epochs):
                    for _ in loader.training_batches(training.augmentation, pair.batch, 0, epoch, drop_last=True):
                        pass

            claims = _share(subjects, interleaved({"loader": load, "training": whole}, rounds))
            if pair.pixels < 64:
                claims += _against_image_by_image(subjects, loader, decoded, rounds)
    return claims


def _share(subjects: Subjects, costs: dict) -> list[Claim]:
    facts = subjects.facts | {"images": subjects.pair.images, "epochs": subjects.pair.epochs}
    return [Claim("loader_share", "loader", "training", costs, subjects.pair.pixels, 0.05, facts)]


def _against_image_by_image(
    subjects: Subjects, loader: Loader, decoded: Sequence[Image.Image], rounds: int
) -> list[Claim]:
    pair, epochs = subjects.pair, itertools.count()
    augmentation = augmentation_of(pair)

    def together() -> None:
        for _ in loader.training_batches(augmentation, pair.batch, 0, next(epochs)):
            pass

    work: dict[str, Callable[[], object]] = {
        "image by image": lambda: image_by_image(decoded, 0, next(epochs), range(len(decoded))),
        "in batches": together,
    }
    costs = interleaved(work, rounds)
    facts = {"images": len(decoded), "batch": pair.batch}
    return [Claim("augmentation", "image by image", "in batches", costs, pair.pixels, 20, facts, at_least=True)]


def augmentation_of(pair: Pair) -> Augmentation:
    """A random square of the padded image, mirrored half of the time."""
    settings = AugmentSettings(crop="shift", padding=PADDING, flip=True)
    return Augmentation(settings, Geometry(pair.pixels, pair.pixels), 0)


def image_by_image(images: Sequence[Image.Image], seed: int, epoch: int, indices: Sequence[int]) -> Tensor:
    """The same augmentation with a generator and Pillow for each image: uint8 `[B, 3, S, S]`.

    It was the loader's own way once, and gives the same pixels.
    """
    found = []
    for index in indices:
        image = images[index]
        random = generator(seed, "crop", epoch, index)
        left, top = (int(random.integers(-PADDING, PADDING + 1)) for _ in range(2))
        image = image.crop((left, top, left + image.width, top + image.height))
        if generator(seed, "flip", epoch, index).random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        found.append(np.asarray(image, dtype=np.uint8))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
