"""Images of a run as runtimes take them: uint8 `[B, S, S, 3]`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.distributed.parts import WHOLE, Part
from pipeline.stages.shared.inputs import Data

if TYPE_CHECKING:
    from pipeline.data.loading import Batch

GOLDEN_IMAGES = 16


def validation_batches(data: Data, part: Part = WHOLE) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
    """The validation split as a runtime takes it: uint8 `[B, S, S, 3]`, labels `[B]`, file names; the batches of a
    part."""
    paths = data.index.splits["validation"].paths
    for batch in data.loader.evaluation_batches("validation", data.geometry, part=part):
        yield images_of(batch), batch.labels.numpy(), [paths[index] for index in batch.indices.tolist()]


def calibration_batches(data: Data, images: int) -> Iterator[np.ndarray]:
    """So many training images, evenly spread, prepared as for validation: what a student sees when it serves."""
    for batch in data.loader.evaluation_batches("train", data.geometry, limit=images):
        yield images_of(batch)


def golden_images(data: Data) -> np.ndarray:
    """Golden inputs, uint8 `[16, S, S, 3]`: evenly spread over validation, repeated where it has fewer."""
    batches = data.loader.evaluation_batches("validation", data.geometry, GOLDEN_IMAGES, limit=GOLDEN_IMAGES)
    images = np.concatenate([images_of(batch) for batch in batches])
    return np.resize(images, (GOLDEN_IMAGES, *images.shape[1:]))


def images_of(batch: "Batch") -> np.ndarray:
    """The images of a batch as a runtime takes them: uint8 `[B, S, S, 3]`."""
    return np.ascontiguousarray(batch.images.permute(0, 2, 3, 1).numpy())
