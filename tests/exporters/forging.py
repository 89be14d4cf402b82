"""Attacks on a bundle: change it, and then forge the hashes that would reveal the change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from exporters.bundle.manifest import REQUIRED, seal
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError
from exporters.core.files import dump_json, sha256_bytes, sha256_file
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


def resealed(bundle: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> None:
    """List what is there now, Triton's copy of the model included, change the manifest, and seal it again."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    if (bundle / "model.onnx").is_file() and (bundle / COPY).is_file():
        (bundle / COPY).write_bytes((bundle / "model.onnx").read_bytes())
    for name, entry in manifest["files"].items():
        path = bundle / name
        if path.is_file():
            entry.update(sha256=sha256_file(path), size=path.stat().st_size)
    change(manifest)
    data = dump_json(manifest).encode()
    (bundle / "manifest.json").write_bytes(data)
    (bundle / "manifest.sha256").write_bytes(seal(data))


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
