"""Files of a bundle as values: its labels, its preprocessing, and the histograms that images are compared with."""

from collections.abc import Mapping
from typing import Any

from exporters.bundle.manifest import DRIFT, LABELS, MANIFEST, PREPROCESS, parse_json
from exporters.core.errors import GateError, UsageError
from exporters.core.files import dump_json
from exporters.drift import DriftReference
from exporters.images.preprocessing import Preprocessing
from exporters.student.student import check_labels

LONGEST_LABEL = 256
"""Characters of a label in a bundle."""


def read_labels(data: bytes) -> list[str]:
    """The labels of a bundle, from the bytes of `labels.json`; GateError where they are none."""
    value = parse_json(LABELS, data)
    try:
        labels = check_labels(value if isinstance(value, list) else [])
    except UsageError as error:
        raise GateError(f"{LABELS}: {error.message}") from error
    long = next((label for label in labels if len(label) > LONGEST_LABEL), None)
    if long is not None:
        raise GateError(f"{LABELS}: a label of {len(long):,} characters; the longest have {LONGEST_LABEL}")
    return labels


def read_drift(data: bytes, manifest: Mapping[str, Any]) -> DriftReference:
    """The histograms of validation, from the bytes of `drift.json`; GateError where they are none of this bundle's."""
    reference = DriftReference.from_json(DRIFT, parse_json(DRIFT, data), manifest["classes"])
    if reference.images != manifest["drift"]["images"]:
        raise GateError(
            f"{DRIFT}: {reference.images:,} images, and {MANIFEST} tells of {manifest['drift']['images']:,}"
        )
    return reference


def read_preprocessing(data: bytes) -> Preprocessing:
    """The preprocessing of a bundle, from the bytes of `preprocess.json`, which it must give again; else GateError."""
    try:
        preprocessing = Preprocessing.from_json(parse_json(PREPROCESS, data))
    except UsageError as error:
        raise GateError(f"{PREPROCESS}: {error.message}") from error
    if dump_json(preprocessing.to_json()).encode() != data:
        raise GateError(f"{PREPROCESS}: not as a bundle has it")
    return preprocessing
