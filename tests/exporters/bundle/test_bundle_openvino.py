"""OpenVINO IR in a bundle: looked up in model.onnx, run on the golden images, and no place to hide anything in."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

pytest.importorskip("openvino")

from exporters.artifacts.openvino import make_ir, prove_ir
from exporters.benchmark.bundle import benchmark_bundle
from exporters.bundle import verify
from exporters.bundle.contents import BundleContents, ShippedIr
from exporters.bundle.manifest import SCHEMA
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError
from exporters.openvino.document import Document, Layer, read_document, write_document
from exporters.parity import Evidence
from exporters.runtimes import TorchRuntime
from tests.exporters.artifacts.test_openvino import context
from tests.exporters.conftest import Exported
from tests.exporters.forging import failure, resealed

XML, WEIGHTS = "openvino/model.xml", "openvino/model.bin"
XML16, WEIGHTS16 = "openvino/model.fp16.xml", "openvino/model.fp16.bin"


@pytest.fixture(scope="module")
def with_irs(contents: BundleContents, cifar: Exported) -> BundleContents:
    names = [f"image{index}.jpg" for index in range(len(cifar.images))]
    batches = [(cifar.images, cifar.logits.argmax(axis=1), names)]
    evidence = Evidence(TorchRuntime(cifar.student), lambda: batches, part=8)
    made = [make_ir(precision, cifar.data) for precision in ("fp32", "fp16")]
    reports = {ir.precision: prove_ir(ir, context(evidence, cifar)).to_json() for ir in made}
    irs = [ShippedIr(ir.precision, ir.xml, ir.weights, ir.version) for ir in made]
    return replace(contents, irs=irs, parity={**contents.parity, "openvino": reports})


@pytest.fixture(scope="module")
def made(with_irs: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with_openvino") / "bundle"
    pack(with_irs, folder)
    return folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def test_both_networks_are_packed_described_and_run_on_the_golden_images(made: Path) -> None:
    report = verify_bundle(made)  # each in a process of its own
    manifest = report.manifest
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text("utf-8")))
    assert set(manifest["openvino"]) == {XML, XML16}
    assert {XML, WEIGHTS, XML16, WEIGHTS16} <= set(manifest["files"]) and report.not_run == ()
    assert report.golden_errors[XML] < 1e-5 < report.golden_errors[XML16] < 1e-2
    card = (made / "MODEL_CARD.md").read_text()
    assert f"| {XML16} | OpenVINO IR of fp16 by OpenVINO 2" in card and "| fp16 OpenVINO | 20 |" in card
    parts = json.loads((made / "sbom.cdx.json").read_text())["metadata"]["component"]["components"]
    assert {part["name"] for part in parts} == {"model.onnx", XML, WEIGHTS, XML16, WEIGHTS16}


def test_without_openvino_files_a_bundle_is_as_before(contents: BundleContents, packed: Path, tmp_path: Path) -> None:
    assert contents.irs == () and "openvino" not in json.loads((packed / "manifest.json").read_text())
    pack(replace(contents, irs=()), tmp_path / "bundle")
    for path in sorted(path for path in packed.rglob("*") if path.is_file()):
        assert "openvino" not in path.as_posix()
        assert (tmp_path / "bundle" / path.relative_to(packed)).read_bytes() == path.read_bytes()


def test_where_openvino_is_missing_all_but_the_golden_vectors_is_checked(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "openvino_is_installed", lambda: False)
    report = verify_bundle(bundle, trusted=True)
    assert report.not_run == (XML16, XML) and set(report.golden_errors) == {"model.onnx"}
    data = bytearray((bundle / WEIGHTS).read_bytes())
    data[1000] ^= 1
    (bundle / WEIGHTS).write_bytes(data)
    resealed(bundle)
    with pytest.raises(GateError, match=f"{XML}: holds what the ONNX file does not"):
        verify_bundle(bundle, trusted=True)


@pytest.mark.parametrize("report", [None, {"passed": False, "status": "rejected"}])
def test_unproved_networks_are_not_packed(with_irs: BundleContents, report: Any, tmp_path: Path) -> None:
    found = {**with_irs.parity, "openvino": {"fp32": with_irs.parity["openvino"]["fp32"]}}
    if report is not None:
        found["openvino"]["fp16"] = report
    with pytest.raises(GateError, match=f"parity of {XML16} has not passed"):
        pack(replace(with_irs, parity=found), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [XML, WEIGHTS16])
def test_a_damaged_or_missing_file_is_named(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    assert f"{name}: damaged" in failure(bundle)
    (bundle / name).unlink()
    assert name in failure(bundle) and "missing" in failure(bundle)


def rewired(document: Document) -> Document:
    """Without the activations: each takes its input on."""
    passing = {layer.id for layer in document.layers if layer.kind == "ReLU"}
    layers = [replace(layer, kind="Abs") if layer.id in passing else layer for layer in document.layers]
    return Document(tuple(layers), document.edges)


def with_entity(xml: bytes) -> bytes:
    return xml.replace(b"<net ", b'<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]><net ', 1)


def of_layers(change: Callable[[Layer], Layer]) -> Callable[[bytes], bytes]:
    def changed(xml: bytes) -> bytes:
        document = read_document(xml)
        return write_document(Document(tuple(change(layer) for layer in document.layers), document.edges))

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda xml: write_document(rewired(read_document(xml))), "does not reproduce|not the operators"),
        (with_entity, "document type"),
        (lambda xml: xml[: len(xml) // 2], "damaged or not XML"),
        (of_layers(lambda each: replace(each, opset="extension") if each.kind == "ReLU" else each), "extension:ReLU"),
        (
            of_layers(lambda each: replace(each, data={**each.data, "offset": "4"}) if each.kind == "Const" else each),
            "constant|ends at byte|bytes that no",
        ),
    ],
)
def test_a_forged_network_is_found_whatever_the_hashes_say(
    bundle: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = bundle / XML
    path.write_bytes(change(path.read_bytes()))
    resealed(bundle)
    with pytest.raises(GateError, match=message):
        verify_bundle(bundle)


def test_a_rewired_network_fails_the_golden_vectors(bundle: Path) -> None:
    """Weights, names and sizes are right, and the manifest tells of the operators that are there."""
    path = bundle / XML
    path.write_bytes(write_document(rewired(read_document(path.read_bytes()))))

    def forge(manifest: dict[str, Any]) -> None:
        operators = manifest["openvino"][XML]["operators"]
        operators["Abs"] = operators.pop("ReLU")

    resealed(bundle, forge)
    with pytest.raises(GateError, match=f"{XML}: does not reproduce golden/outputs"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"golden_tolerance": 0.0009}, "the manifest allows an error"),
        ({"golden_tolerance": 0.01}, "tolerances of at most 0.001"),
        ({"precision": "fp16"}, "no OpenVINO file of fp16"),
        ({"source": "teacher.onnx"}, "no key of a manifest"),
    ],
)
def test_a_forged_entry_is_found(bundle: Path, change: dict[str, Any], message: str) -> None:
    resealed(bundle, lambda manifest: manifest["openvino"][XML].update(change))
    with pytest.raises(GateError, match=message):
        verify_bundle(bundle, trusted=True)


def test_weights_of_another_student_are_found(bundle: Path, shufflenet: Exported) -> None:
    other = make_ir("fp32", shufflenet.data)
    (bundle / XML).write_bytes(other.xml)
    (bundle / WEIGHTS).write_bytes(other.weights)
    resealed(bundle)
    assert f"{XML}: " in failure(bundle)


def test_the_networks_are_measured_beside_the_onnx_file(made: Path) -> None:
    result = benchmark_bundle(made, batches=(1,), threads=(1,), seconds=0.01)
    rows = {(entry["runtime"], entry["variant"]): entry for entry in result["results"]}
    assert {("onnxruntime-cpu", "fp32"), ("openvino-cpu", "fp32"), ("openvino-cpu", "fp16")} <= set(rows)
    fp16 = rows["openvino-cpu", "fp16"]
    assert fp16["bytes"] == sum((made / name).stat().st_size for name in (XML16, WEIGHTS16))
    assert fp16["agreement"] == 1.0 and np.isfinite(fp16["batches"][0]["p50_ms"])
