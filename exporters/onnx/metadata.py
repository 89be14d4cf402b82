"""What an exported model says of itself: its metadata, each a JSON string."""

import json
from collections.abc import Sequence
from typing import Any

from exporters.images.preprocessing import Preprocessing


def model_metadata(
    name: str, version: str, labels: Sequence[str], preprocessing: Preprocessing, licence: str | None
) -> dict[str, str]:
    """The metadata of a student's ONNX file, by key and in the order of the file.

    Args:
        name: of the student.
        version: of tmkd-pipeline.
        labels: K class names.
        licence: of the weights; None leaves it out.
    """
    values: dict[str, Any] = {
        "labels": list(labels),
        "name": name,
        "preprocessing": preprocessing.to_json(),
        "version": version,
    }
    if licence is not None:
        values["licence"] = licence
    return {key: json.dumps(values[key], sort_keys=True, ensure_ascii=False) for key in sorted(values)}
