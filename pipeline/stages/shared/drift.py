"""Histograms of validation images and of a model's answers to them, which a service compares its images with."""

from typing import TYPE_CHECKING

import numpy as np

from exporters.drift import LEAST_IMAGES, DriftReference, answer_values, image_size, pixel_values
from exporters.drift.reference import value_rows
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.images import images_of
from pipeline.stages.shared.inputs import Data

if TYPE_CHECKING:
    from exporters.runtimes import Runtime

IMAGES = 2000
"""At most so many, evenly spread over validation; four times the window that they are compared with."""


def drift_reference(context: StageContext, data: Data, model: "Runtime") -> DriftReference | None:
    """The histograms; None where the recipe wants none, or validation has too few images, which is said.

    Args:
        model: the file that ships.
    """
    split = data.index.splits["validation"]
    if not context.recipe.bundle.drift:
        return None
    if len(split) < LEAST_IMAGES:
        context.console.say(
            f"no drift.json, so that `serve` watches no drift: it takes {LEAST_IMAGES} validation images, and there are"
            f" {len(split)}"
        )
        return None
    rows = []
    for batch in data.loader.evaluation_batches("validation", data.geometry, limit=IMAGES):
        images = images_of(batch)
        sizes = [image_size(width, height) for width, height in split.sizes[batch.indices.numpy()].tolist()]
        rows.append(value_rows(pixel_values(images), sizes, answer_values(model.predict(images))))
    return DriftReference.of_values(np.concatenate(rows), len(data.index.classes))
