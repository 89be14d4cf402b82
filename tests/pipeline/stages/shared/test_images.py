"""Images of a run as runtimes take them."""

import numpy as np

from pipeline.stages.shared.images import golden_images, validation_batches
from pipeline.stages.shared.inputs import read_data
from tests.pipeline.conftest import Outcome, Run
from tests.pipeline.stages.contexts import context_of


def test_golden_images_are_of_the_validation_split(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    data = read_data(context_of(run))
    images = golden_images(data)
    assert images.shape == (16, 32, 32, 3) and images.dtype == np.uint8
    whole = next(validation_batches(data))[0]
    assert np.array_equal(images[:12], whole) and np.array_equal(images[12:], whole[:4])  # repeated where fewer
    with np.load(run.directory / "bundle" / "golden" / "inputs.npz") as golden:
        assert np.array_equal(golden["image"], images)
