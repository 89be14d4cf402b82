import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from exporters.bundle.layout import BundleSize
from exporters.bundle.manifest import read_file, read_listed, read_manifest
from exporters.bundle.verify import verify_bundle
from exporters.core.arrays import npz_bytes
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import dump_json, sha256_bytes
from exporters.onnx.reader import read_onnx
from tests.exporters.conftest import LABELS
from tests.exporters.forging import FILES, add_file, change_model, failure, forge_served, resealed, signature_of


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


def test_good_bundle_verifies(packed: Path) -> None:
    report = verify_bundle(packed)
    assert report.size == BundleSize(len(FILES), sum((packed / name).stat().st_size for name in FILES))
    assert report.golden_images == 8
    assert list(report.golden_errors) == ["model.onnx"]
    assert 0 <= report.golden_errors["model.onnx"] <= 1e-4
    assert report.tensors == len(report.manifest["models"]["model.onnx"]["initializers"])
    assert sha256_bytes((packed / "manifest.json").read_bytes()) in (packed / "manifest.sha256").read_text()


def test_a_signature_may_be_added(bundle: Path) -> None:
    before = verify_bundle(bundle)
    (bundle / "model.sig").write_bytes(signature_of(bundle))
    after = verify_bundle(bundle)
    assert (before.signature, after.signature) == ("", "there")
    assert (after.manifest, after.size) == (before.manifest, before.size)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file_is_named(bundle: Path, name: str) -> None:
    path = bundle / name
    good = path.read_bytes()
    random = np.random.default_rng(len(good))
    for position in {0, len(good) - 1, *random.integers(0, len(good), 20).tolist()}:
        data = bytearray(good)
        data[position] ^= 1 << int(random.integers(0, 8))
        path.write_bytes(data)
        assert name in failure(bundle)


@pytest.mark.parametrize("name", FILES)
def test_missing_cut_and_longer_files_are_named(bundle: Path, name: str) -> None:
    path = bundle / name
    good = path.read_bytes()
    for data in (good[:-1], good + b"\n", b""):
        path.write_bytes(data)
        assert name in failure(bundle)
    path.unlink()
    assert name in failure(bundle)


@pytest.mark.parametrize("name", ["extra.json", "golden/extra.npz", "teacher.safetensors", ".hidden", "new/"])
def test_unlisted_files_are_named(bundle: Path, name: str) -> None:
    path = bundle / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_bytes(b"x")
    assert f"{name}: in the bundle and not listed" in failure(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "golden", "manifest.json"])
def test_links_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).rename(bundle.parent / "elsewhere")
    (bundle / name).symlink_to(bundle.parent / "elsewhere")
    assert name in failure(bundle)


def test_special_files_are_refused(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    os.mkfifo(bundle / "model.onnx")
    assert "model.onnx: not an ordinary file" in failure(bundle)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("teacher.pkl", pickle.dumps({"weights": [1.0]})),
        ("teacher.pt", b"PK\x03\x04"),
        ("teacher.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
        ("teacher", b"x"),
        ("run.py", b"import os"),
    ],
)
def test_forbidden_kinds_are_refused_even_if_listed(bundle: Path, name: str, content: bytes) -> None:
    add_file(bundle, name, content)
    assert f"{name}: a bundle holds no files of this kind" in failure(bundle)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.md", pickle.dumps([1])),
        ("notes.md", b"a\0b"),
        ("more.json", pickle.dumps([1])),
        ("more.npz", npz_bytes("weights", np.zeros(3))),
        ("more.onnx", b"\x80\x04"),
    ],
)
def test_disguised_files_are_refused(bundle: Path, name: str, content: bytes) -> None:
    add_file(bundle, name, content)
    assert name in failure(bundle)


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/passwd.json", "a/../../b.json", "a\\b.json", "a//b.json", ".x.json"]
)
def test_listed_paths_cannot_escape(bundle: Path, name: str) -> None:
    resealed(bundle, lambda manifest: manifest["files"].update({name: {"sha256": "0" * 64, "size": 1}}))
    assert "no name of a file" in failure(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(format="other/1"),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest["files"].pop("labels.json"),
        lambda manifest: manifest["files"]["labels.json"].pop("sha256"),
        lambda manifest: manifest["files"]["labels.json"].update(size="1"),
        lambda manifest: manifest.update(models={}),
        lambda manifest: manifest["models"]["model.onnx"].update(initializers=None),
        lambda manifest: manifest["models"]["model.onnx"].update(initializers=[1]),
        lambda manifest: manifest["models"]["model.onnx"].update(golden_tolerance=0.01),
        lambda manifest: manifest["models"]["model.onnx"].update(golden_tolerance="x"),
        lambda manifest: manifest["models"]["model.onnx"].update(golden_tolerance=0.01, precision="fp16"),
        lambda manifest: manifest.update(parameters=0),
        lambda manifest: manifest.update(facts={}),
        lambda manifest: manifest["facts"]["results"]["test"].update(correct=21),
        lambda manifest: manifest["facts"]["results"]["test"].update(sha256=None),
        lambda manifest: manifest["facts"]["results"].update(test=3),
    ],
)
def test_malformed_manifests_are_refused(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    resealed(bundle, change)
    assert "manifest.json" in failure(bundle) or "model.onnx" in failure(bundle)


def test_resealed_permuted_labels_are_found(bundle: Path) -> None:
    (bundle / "labels.json").write_text(dump_json(LABELS[::-1]))
    forge_served(bundle)
    resealed(bundle)
    assert "labels.json: not the labels that model.onnx was exported with" in failure(bundle)


@pytest.mark.parametrize("value", [{"a": 1}, LABELS[:-1], ["a", "a"], 3])
def test_labels_that_do_not_fit_are_refused(bundle: Path, value: Any) -> None:
    (bundle / "labels.json").write_text(dump_json(value))
    resealed(bundle)
    assert "labels" in failure(bundle)


def test_changed_preprocessing_is_refused(bundle: Path) -> None:
    path = bundle / "preprocess.json"
    value = json.loads(path.read_text())
    for change in ({"interpolation": "bicubic"}, {"antialias": False}, {"size": 16}):
        path.write_text(dump_json({**value, **change}))
        if "size" in change:
            forge_served(bundle)
            smaller = np.zeros((8, 16, 16, 3), np.uint8)
            (bundle / "golden/inputs.npz").write_bytes(npz_bytes("image", smaller))
        resealed(bundle)
        assert "preprocess.json" in failure(bundle)


def test_resealed_changed_weight_is_found(bundle: Path) -> None:
    path = bundle / "model.onnx"
    model = onnx.load(path)
    values = onnx.numpy_helper.to_array(model.graph.initializer[4]).copy()
    values.flat[0] += 0.1
    model.graph.initializer[4].CopyFrom(onnx.numpy_helper.from_array(values, model.graph.initializer[4].name))
    path.write_bytes(model.SerializeToString())
    resealed(bundle)
    assert "model.onnx: its tensors are not those" in failure(bundle)
    # Even where the list of tensors is forged too, the golden vectors tell.
    entries = [
        {"name": tensor.name, "dtype": tensor.dtype, "dims": list(tensor.dims), "sha256": tensor.sha256, "origin": "x"}
        for tensor in read_onnx(path.read_bytes()).tensors
    ]
    resealed(bundle, lambda manifest: manifest["models"]["model.onnx"].update(initializers=entries))
    assert "does not reproduce" in failure(bundle)


def test_model_with_another_input_is_refused(bundle: Path) -> None:
    change_model(bundle, lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1))
    assert "model.onnx, whose inputs" in failure(bundle)


@pytest.mark.parametrize(
    ("name", "key", "array"),
    [
        ("golden/inputs.npz", "image", np.zeros((8, 32, 32, 3), np.float32)),
        ("golden/inputs.npz", "image", np.zeros((0, 32, 32, 3), np.uint8)),
        ("golden/outputs.npz", "logits", np.zeros((8, 3), np.float32)),
        ("golden/outputs.npz", "logits", np.full((8, 7), np.nan, np.float32)),
    ],
)
def test_invalid_golden_vectors_are_refused(bundle: Path, name: str, key: str, array: np.ndarray) -> None:
    (bundle / name).write_bytes(npz_bytes(key, array))
    resealed(bundle)
    assert name in failure(bundle)


def test_path_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder") as caught:
        verify_bundle(tmp_path / "none")
    assert caught.value.exit_code == 2
    assert "not a bundle" in failure(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        verify_bundle(tmp_path / "file")


def test_sizes_are_limited_before_anything_is_read(bundle: Path) -> None:
    with (bundle / "manifest.sha256").open("r+b") as stream:
        stream.truncate(2**40)  # a sparse file: reading it would take a terabyte
    assert "manifest.sha256" in failure(bundle)
    with pytest.raises(GateError, match="more than a bundle holds"):
        read_file(bundle, "model.onnx", 10)


def test_unlisted_file_is_not_read(bundle: Path) -> None:
    with pytest.raises(GateError, match=r"x\.json"):
        read_listed(bundle, read_manifest(bundle), "x.json")


def test_unreadable_file_is_named(bundle: Path) -> None:
    (bundle / "manifest.sha256").unlink()
    (bundle / "manifest.sha256").mkdir()
    assert "manifest.sha256: not an ordinary file" in failure(bundle)
    with pytest.raises(GateError, match="cannot be read"):
        read_file(bundle, "labels.json/x", 10)


def test_missing_onnxruntime_is_reported(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('none')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="runtime"):
        verify_bundle(packed)


def test_neither_torch_nor_onnx_is_imported(packed: Path) -> None:
    code = (
        "import sys, pathlib; from exporters.bundle.verify import verify_bundle; "
        "verify_bundle(pathlib.Path(sys.argv[1])); "
        "assert not {'torch', 'onnx', 'pipeline'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(packed)], check=True)
