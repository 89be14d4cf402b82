"""What is tried: a student with the images to calibrate it on, to judge it by, and to report on."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.matrix.networks import Network
from benchmarks.matrix.pictures import CLASSES, Pictures, drawn, read_archive
from exporters.images.preprocessing import Preprocessing
from exporters.parity import Batch
from exporters.student.checkpoint import CheckpointOptions, load_checkpoint
from exporters.student.student import TrainedStudent, load_student, save_student

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DATA = "TMKD_DATA"
ARCHIVE = "cifar10-12k.zip"
PUBLISHED = {
    "published-resnet20": ("cifar:resnet20", "weights/resnet20-12fca82f.th"),
    "published-resnet56": ("cifar:resnet56", "weights/resnet56-4bfd9763.th"),
}
"""Third-party weights, trained on CIFAR-10: by name the network and the file below `$TMKD_DATA`."""

CALIBRATION_IMAGES = 512
STEPS = 80  # of a short training; most networks then know nine images in ten
_DRAWN = {"train": 640, "validation": 320}
_GUIDING = 16


@dataclass(frozen=True)
class Subject:
    """One row of the matrix.

    Args:
        name: of the row, and of its folder.
        student: exported, and the reference.
        weights: how they came about.
        calibration: training images.
        validation: what the gates judge on.
        test: the untouched split, where there is one.
        guiding: a few prepared images for the searches and for measuring speed.
    """

    name: str
    student: TrainedStudent
    weights: str
    calibration: Callable[[], Iterator[np.ndarray]]
    validation: Callable[[], Iterable[Batch]]
    guiding: np.ndarray
    test: Callable[[], Iterable[Batch]] | None = None


def trained_like(
    network: Network, folder: Path, *, images: dict[str, int] | None = None, steps: int = STEPS
) -> Subject:
    """A network of the matrix with weights as after a training, on drawn images."""
    import torch

    from benchmarks.matrix.weights import train_like
    from exporters.student.architectures import build

    preprocessing = Preprocessing(network.size, network.size, MEAN, STD)
    train, validation = (drawn(count, network.size, split) for split, count in {**_DRAWN, **(images or {})}.items())
    torch.manual_seed(7)
    module = build(network.architecture, CLASSES)
    with torch.backends.mkldnn.flags(enabled=not network.plain_kernels):
        train_like(module, train.images, train.labels, preprocessing, steps=steps)
    labels = [f"pattern {index}" for index in range(CLASSES)]
    student = load_student(
        save_student(module, network.architecture, labels, preprocessing, folder, name=network.label)
    )
    return _of_pictures(network.label, student, "as after a training", train, validation, None)


def published(name: str) -> Subject | None:
    """A row of `PUBLISHED`; None where `$TMKD_DATA` is not set or has not its files.

    Every tenth training image of a class is for validation, and calibration sees the others alone.
    """
    network, weights = PUBLISHED[name]
    root = os.environ.get(DATA)
    if root is None or not (Path(root) / weights).is_file() or not (Path(root) / ARCHIVE).is_file():
        return None
    preprocessing = Preprocessing(32, 32, MEAN, STD)
    train, classes = read_archive(Path(root) / ARCHIVE, "train", preprocessing)
    test, _ = read_archive(Path(root) / ARCHIVE, "test", preprocessing)
    options = CheckpointOptions(network, image_size=32, resize=32, mean=MEAN, std=STD, labels=classes, name=name)
    student = load_checkpoint(Path(root) / weights, options).student
    held_out = np.arange(len(train.images)) % 10 == 9
    return _of_pictures(name, student, "third party's", train.take(~held_out), train.take(held_out), test)


def _of_pictures(
    name: str, student: TrainedStudent, weights: str, train: Pictures, validation: Pictures, test: Pictures | None
) -> Subject:
    chosen = train.spread(CALIBRATION_IMAGES)
    return Subject(
        name,
        student,
        weights,
        lambda: (chosen[start : start + 64] for start in range(0, len(chosen), 64)),
        validation.batches,
        validation.images[:_GUIDING],
        None if test is None else test.batches,
    )


def of_run(folder: Path) -> Subject:
    """The chosen student of a run directory, on the images of its splits."""
    from pipeline.data.index import DataIndex
    from pipeline.data.loading import Loader
    from pipeline.stages.shared.images import calibration_batches, golden_images, images_of, validation_batches
    from pipeline.stages.shared.inputs import Data

    student = load_student(folder / "distill" / "chosen")
    index = DataIndex.load(folder / "data")
    data = Data(index, Loader(index, index.root, 0), student.preprocessing.geometry)

    def test() -> Iterator[Batch]:
        paths = index.splits["test"].paths
        for batch in data.loader.evaluation_batches("test", data.geometry, 64):
            yield images_of(batch), batch.labels.numpy(), [paths[place] for place in batch.indices.tolist()]

    return Subject(
        student.name,
        student,
        "a run's",
        lambda: calibration_batches(data, CALIBRATION_IMAGES),
        lambda: validation_batches(data),
        golden_images(data),
        test,
    )
