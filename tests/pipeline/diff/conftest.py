"""A data set of three classes, and two bundles that differ in a few answers to it."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.diff.bundles import open_bundle
from pipeline.diff.measure import Measured, measure

from .making import logits_of, make_bundle, make_images

LABELS = ["cat", "dog", "owl"]
TRUTH = np.repeat([0, 1, 2], 20)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images of each class; no test may change them."""
    return make_images(tmp_path_factory.mktemp("photos") / "test", [LABELS[label] for label in TRUTH])


@pytest.fixture(scope="session")
def pair_of_bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The old one has 5 images wrong; the new one has 10 of `cat` wrong, and 2 of those 5 right."""
    old, new = TRUTH.copy(), TRUTH.copy()
    old[55:60], new[55:58], new[0:10] = 0, 0, 1
    root = tmp_path_factory.mktemp("bundles")
    return (
        make_bundle(root / "old", LABELS, logits_of(old, 3, 2.0), name="before"),
        make_bundle(root / "new", LABELS, logits_of(new, 3, 4.0), size=16, name="after"),
    )


@pytest.fixture(scope="session")
def measured(pair_of_bundles: tuple[Path, Path], photos: Path) -> Measured:
    """The two on the data set, with the latency."""
    old, new = (open_bundle(path, "fp32", "cpu") for path in pair_of_bundles)
    return measure(old, new, photos, seconds=0.0)
