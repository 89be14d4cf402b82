"""The published JSON Schema describes a manifest, and rejects malformed ones as `verify` does."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporters.bundle.manifest import GOLDEN_LIMITS, REQUIRED, SCHEMA
from pipeline.cli import cli

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


@pytest.fixture(scope="module")
def manifest(packed: Path) -> dict[str, Any]:
    return json.loads((packed / "manifest.json").read_text("utf-8"))


def test_schema_is_valid_and_accepts_the_manifest(manifest: dict[str, Any]) -> None:
    VALIDATOR.check_schema(VALIDATOR.schema)
    VALIDATOR.validate(manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(format="other/1"),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest["files"].pop("labels.json"),
        lambda manifest: manifest["files"]["labels.json"].pop("sha256"),
        lambda manifest: manifest["files"]["labels.json"].update(size="1"),
        lambda manifest: manifest["files"].update({"../x.json": manifest["files"]["labels.json"]}),
        lambda manifest: manifest["files"].update({"manifest.json": manifest["files"]["labels.json"]}),
        lambda manifest: manifest.update(models={}),
        lambda manifest: manifest["models"].update({"run.py": {}}),
        lambda manifest: manifest["models"]["model.onnx"].update(initializers=None),
        lambda manifest: manifest["models"]["model.onnx"].update(golden_tolerance="x"),
        lambda manifest: manifest["models"]["model.onnx"].update(precision="fp16"),
        lambda manifest: manifest["models"]["model.onnx"]["initializers"][0].pop("origin"),
        lambda manifest: manifest.pop("parameters"),
        lambda manifest: manifest["facts"].pop("results"),
        lambda manifest: manifest["facts"]["licences"].update(weights=3),
        lambda manifest: manifest["facts"]["results"]["test"].update(sha256="x"),
    ],
)
def test_schema_rejects_malformed_manifests(manifest: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    changed = copy.deepcopy(manifest)
    change(changed)
    assert not VALIDATOR.is_valid(changed)


def test_unknown_keys_are_accepted(manifest: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid({**manifest, "more": 1})


def test_schema_agrees_with_the_code(manifest: dict[str, Any]) -> None:
    schema = VALIDATOR.schema
    assert tuple(schema["properties"]["files"]["required"]) == REQUIRED
    model = schema["$defs"]["model"]
    assert model["properties"]["precision"]["enum"] == list(GOLDEN_LIMITS)
    assert model["properties"]["golden_tolerance"]["maximum"] == max(GOLDEN_LIMITS.values())
    by_option = {"calibration", "cam", "drift", "known", "openvino"}
    assert set(schema["required"]) <= set(manifest) and set(schema["properties"]) == set(manifest) | by_option
    assert set(schema["$defs"]["facts"]["properties"]) == set(manifest["facts"])


def test_command_prints_the_schema() -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(cli, ["schema", "--of", "manifest"])
    assert result.exit_code == 0 and json.loads(result.output) == VALIDATOR.schema
