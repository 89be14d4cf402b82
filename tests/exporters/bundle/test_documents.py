"""Labels, preprocessing and histograms are read from a bundle's files only as a bundle has them."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from exporters.bundle.documents import LONGEST_LABEL, read_drift, read_labels, read_preprocessing
from exporters.core.errors import GateError
from exporters.core.files import dump_json
from exporters.drift import DriftReference
from exporters.images.preprocessing import Preprocessing
from tests.exporters.drift.streams import draw

PREPROCESSING = Preprocessing(32, 41, (0.5,) * 3, (0.2,) * 3, "bicubic")
REFERENCE = DriftReference.of_values(draw(np.random.default_rng(0), 300, 7), 7)


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(GateError) as caught:
        read()
    return caught.value.message


def test_documents_are_read_back_as_they_were_written() -> None:
    labels = ["cat", "élan", "x" * LONGEST_LABEL]
    assert read_labels(dump_json(labels).encode()) == labels
    assert read_preprocessing(dump_json(PREPROCESSING.to_json()).encode()) == PREPROCESSING
    manifest = {"classes": 7, "drift": {"images": 300}}
    assert read_drift(dump_json(REFERENCE.to_json()).encode(), manifest) == REFERENCE


@pytest.mark.parametrize("labels", [[], {}, ["cat", "cat"], ["cat", 3], ["cat", "x" * (LONGEST_LABEL + 1)]])
def test_other_labels_are_refused_by_the_name_of_their_file(labels: object) -> None:
    assert refused(lambda: read_labels(dump_json(labels).encode())).startswith("labels.json: ")


def test_layout_of_a_document_is_the_one_that_a_bundle_has() -> None:
    assert "not JSON as a bundle has it" in refused(lambda: read_labels(json.dumps(["cat", "dog"], indent=1).encode()))
    more = PREPROCESSING.to_json() | {"more": 1}
    assert refused(lambda: read_preprocessing(dump_json(more).encode())).startswith("preprocess.json: ")


def test_histograms_of_other_images_are_refused() -> None:
    data = dump_json(REFERENCE.to_json()).encode()
    told = refused(lambda: read_drift(data, {"classes": 7, "drift": {"images": 299}}))
    assert told == "drift.json: 300 images, and manifest.json tells of 299"
    assert refused(lambda: read_drift(data, {"classes": 8, "drift": {"images": 300}})).startswith("drift.json")
