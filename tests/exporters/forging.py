"""Attacks on a bundle: change it, and then forge the hashes that would reveal the change."""

import base64
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from exporters.bundle.manifest import REQUIRED, seal
from exporters.bundle.model_card import model_card
from exporters.bundle.triton import triton_texts
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError
from exporters.core.files import dump_json, sha256_bytes, sha256_file
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.reader import read_onnx

COPY = "triton/finches/1/model.onnx"
FILES = [
    *REQUIRED,
    COPY,
    "triton/finches/config.pbtxt",
    "triton/finches/labels.txt",
    "kserve/inference-service.yaml",
    "manifest.json",
    "manifest.sha256",
]
"""All files of the fixture `packed`."""


def resealed(
    bundle: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None, *, texts: bool = True
) -> None:
    """List what is there now, Triton's copy of the model included, change the manifest, and seal it again.

    With `texts` the card, unless it was replaced, and the hashes of the bill of materials are forged too.
    """
    manifest = json.loads((bundle / "manifest.json").read_text())
    if (bundle / "model.onnx").is_file() and (bundle / COPY).is_file():
        (bundle / COPY).write_bytes((bundle / "model.onnx").read_bytes())
    for name in manifest["files"]:
        _list(bundle, manifest, name)
    change(manifest)
    if texts:
        with contextlib.suppress(Exception):  # a manifest of another form
            _forge_card(bundle, manifest)
            _list(bundle, manifest, "MODEL_CARD.md")
        with contextlib.suppress(Exception):
            _forge_sbom(bundle, manifest)
            _list(bundle, manifest, "sbom.cdx.json")
    data = dump_json(manifest).encode()
    (bundle / "manifest.json").write_bytes(data)
    (bundle / "manifest.sha256").write_bytes(seal(data))


def _list(bundle: Path, manifest: dict[str, Any], name: str) -> None:
    path = bundle / name
    if path.is_file() and name in manifest["files"]:
        manifest["files"][name].update(sha256=sha256_file(path), size=path.stat().st_size)


def _forge_card(bundle: Path, manifest: dict[str, Any]) -> None:
    if not (bundle / "MODEL_CARD.md").read_bytes().startswith(b"---\n"):
        return
    labels, preprocessing, parity = (
        json.loads((bundle / name).read_text("utf-8")) for name in ("labels.json", "preprocess.json", "parity.json")
    )
    card = model_card(manifest, labels, Preprocessing.from_json(preprocessing), parity)
    (bundle / "MODEL_CARD.md").write_text(card, "utf-8")


def _forge_sbom(bundle: Path, manifest: dict[str, Any]) -> None:
    document = json.loads((bundle / "sbom.cdx.json").read_text("utf-8"))
    student = document["metadata"]["component"]
    student["name"] = manifest["name"]
    for part in student["components"]:
        part["hashes"][0]["content"] = manifest["files"][part["name"]]["sha256"]
    (bundle / "sbom.cdx.json").write_text(dump_json(document), "utf-8")


def forge_served(bundle: Path) -> None:
    """Write Triton's texts for the labels and the size that are there now."""
    labels, preprocessing = (json.loads((bundle / name).read_text()) for name in ("labels.json", "preprocess.json"))
    for name, data in triton_texts("finches", preprocessing["size"], labels).items():
        (bundle / name).write_bytes(data)


def signature_of(bundle: Path) -> bytes:
    """A signature of the right form over the files that are there, by nobody."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != "model.sig")
    resources = [
        {"name": path.relative_to(bundle).as_posix(), "algorithm": "sha256", "digest": sha256_file(path)}
        for path in files
    ]
    statement = {"predicate": {"resources": resources}}
    envelope = {
        "payload": base64.b64encode(json.dumps(statement).encode()).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "AA==", "keyid": ""}],
    }
    media = "application/vnd.dev.sigstore.bundle.v0.3+json"
    material = {"publicKey": {"hint": ""}, "tlogEntries": []}
    return json.dumps({"mediaType": media, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()


def add_file(bundle: Path, name: str, content: bytes) -> None:
    """Put a file into a bundle as if it had been packed."""
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(content)
    entry = {"sha256": sha256_bytes(content), "size": len(content)}
    resealed(bundle, lambda manifest: manifest["files"].update({name: entry}))


def change_model(bundle: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change the model, and forge the lists of its tensors and operators too."""
    path = bundle / "model.onnx"
    model = onnx.load(path)
    change(model)
    data = model.SerializeToString()
    path.write_bytes(data)
    read = read_onnx(data)
    entries = [
        {"name": tensor.name, "dtype": tensor.dtype, "dims": list(tensor.dims), "sha256": tensor.sha256, "origin": "x"}
        for tensor in read.tensors
    ]
    resealed(
        bundle,
        lambda manifest: manifest["models"]["model.onnx"].update(
            initializers=entries, operators=read.operators, size=len(data)
        ),
    )


def failure(bundle: Path) -> str:
    """What `verify` says of a bundle that it refuses with exit 3."""
    with pytest.raises(GateError) as caught:
        verify_bundle(bundle)
    assert caught.value.exit_code == 3
    return str(caught.value)
