"""The form of a manifest: what is said where one has another."""

import json
from pathlib import Path

import jsonschema
import pytest

from exporters.bundle.manifest import SCHEMA
from exporters.bundle.manifest_form import ManifestForm, malformed


def test_packed_manifest_has_the_form_of_the_published_schema(packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text("utf-8"))
    assert malformed(manifest) is None
    schema = json.loads(SCHEMA.read_text("utf-8"))
    assert set(schema["properties"]) == set(ManifestForm.model_fields)
    jsonschema.validate(manifest, schema)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("weights",), "x", "weights: no key of a manifest"),
        (("parameters",), True, "parameters: Input should be a valid integer"),
        (("parameters",), "5", "parameters: Input should be a valid integer"),
        (("name",), "../x", "name: String should match pattern"),
        (("facts", "results", "test", "correct"), -1, "facts.results.test.correct: "),
        (("facts", "metrics", "x" * 600), 1, "facts.metrics."),
        (("models", "model.onnx", "initializers", 0, "dims"), [[]], "models.model.onnx.initializers.0.dims.0: "),
    ],
)
def test_place_of_what_is_malformed_is_named(packed: Path, place: tuple, value: object, words: str) -> None:
    manifest = json.loads((packed / "manifest.json").read_text("utf-8"))
    inner = manifest
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    message = malformed(manifest)
    assert message is not None and message.startswith(words) and len(message) < 500


@pytest.mark.parametrize("value", [None, 3, [], "x", {}])
def test_anything_else_is_no_manifest(value: object) -> None:
    assert malformed(value) is not None
