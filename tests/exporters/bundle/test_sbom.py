"""The bill of materials, against CycloneDX's own schema and reader."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from exporters.bundle.contents import BundleContents, BundleFacts
from exporters.bundle.pack import pack
from exporters.bundle.sbom import sbom
from exporters.core.errors import UnavailableError
from tests.exporters.conftest import LABELS

FILES = {"model.onnx": {"sha256": "12" * 32, "size": 3}, "model.int8.onnx": {"sha256": "34" * 32, "size": 2}}


def about(**facts: Any) -> dict[str, Any]:
    plain = dataclasses.asdict(BundleFacts("ab" * 32, "cd" * 32, **facts))
    return {"name": "n", "version": "1", "architecture": "a", "parameters": 10, "classes": 3, "facts": plain}


def test_sbom_is_valid_cyclonedx(packed: Path) -> None:
    text = (packed / "sbom.cdx.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    bom = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]
    assert bom.metadata.component is not None and bom.metadata.component.name == "finches"


def test_schema_violation_is_found(packed: Path) -> None:
    document = json.loads((packed / "sbom.cdx.json").read_text("utf-8"))
    document["metadata"]["component"]["modelCard"]["modelParameters"]["approach"]["type"] = "guessed"
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(document)) is not None


def test_sbom_lists_model_data_and_packages(packed: Path) -> None:
    document = json.loads((packed / "sbom.cdx.json").read_text("utf-8"))
    manifest = json.loads((packed / "manifest.json").read_text("utf-8"))
    student = document["metadata"]["component"]
    expected = [{"alg": "SHA-256", "content": manifest["files"]["model.onnx"]["sha256"]}]
    assert student["type"] == "machine-learning-model" and student["hashes"] == expected
    assert [(part["name"], part["hashes"]) for part in student["components"]] == [("model.onnx", expected)]
    assert "licenses" not in student  # not stated, so not told
    card = student["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": "data"}]
    assert card["modelParameters"]["outputs"] == [{"format": f"logits: float32 [batch, {len(LABELS)}]"}]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert {entry["slice"]: entry["value"] for entry in metrics} == {"validation": "0.9", "test": "0.65"}
    parts = {part["bom-ref"]: part for part in document["components"]}
    data = parts.pop("data")
    assert data["type"] == "data" and data["licenses"] == [{"license": {"id": "CC-BY-NC-4.0"}}]
    assert data["data"][0]["name"] == "birds"
    (torch,) = parts.values()
    purl = PackageURL.from_string(torch["purl"])
    assert (purl.type, purl.name, purl.version) == ("pypi", "torch", manifest["facts"]["versions"]["torch"])
    assert {part["scope"] for part in (data, torch)} == {"excluded"}
    (depends,) = (entry for entry in document["dependencies"] if entry["ref"] == "student")
    assert set(depends["dependsOn"]) == {"data", torch["bom-ref"]}


def test_same_content_gives_same_bytes_and_changed_content_a_new_serial() -> None:
    first, again = (sbom(about(versions={"b": "1", "a": "2"}), FILES, 32) for _ in range(2))
    other = sbom(about(versions={"b": "1", "a": "3"}), FILES, 32)
    assert first == again
    one, two = json.loads(first), json.loads(other)
    assert one["serialNumber"] != two["serialNumber"] and "timestamp" not in one["metadata"]
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(first.decode()) is None


@pytest.mark.parametrize("licence", ["MIT", "MIT OR Apache-2.0", "LicenseRef-own", "CC-BY-NC-4.0", "GPL-3.0-only"])
def test_every_kind_of_licence_is_valid(licence: str) -> None:
    text = sbom(about(licences={"weights": licence, "data": licence}), FILES, 32).decode()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None and licence in text


def test_without_the_library_nothing_is_packed(
    contents: BundleContents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(UnavailableError, match="cyclonedx-python-lib"):
        pack(contents, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())
