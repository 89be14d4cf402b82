"""The allow-list of a bundle's files."""

import json
import os
from pathlib import Path

import pytest

from exporters.bundle.layout import BundleSize, allowed_files, bundle_size, check_folder, check_listed
from exporters.core.errors import GateError
from tests.exporters.forging import FILES


def test_list_of_a_packed_bundle_is_exactly_that(packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text())
    assert allowed_files(manifest) | {"manifest.json", "manifest.sha256"} == set(FILES)
    check_listed(manifest)
    check_folder(packed, manifest)


def test_size_of_a_bundle_is_that_of_all_its_files(packed: Path) -> None:
    size = bundle_size(packed, json.loads((packed / "manifest.json").read_text()))
    files = [path for path in packed.rglob("*") if path.is_file()]
    assert (size.files, size.bytes) == (len(files), sum(path.stat().st_size for path in files))
    assert str(BundleSize(15, 953_210)) == "15 files, 0.95 MB"


def test_engines_bring_their_sidecars_and_what_triton_serves(packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text())
    engine = {"precision": "fp16", "library": {"name": "tensorrt"}, "profile": None, "source": "model.fp16.onnx"}
    manifest["models"]["model.fp16.onnx"] = {}
    manifest["engines"] = {"engines/model.fp16.plan": engine}
    more = allowed_files(manifest) - set(FILES)
    served = "triton/finches_tensorrt_fp16"
    assert more == {
        "model.fp16.onnx", "engines/model.fp16.plan", "engines/model.fp16.plan.json", f"{served}/config.pbtxt",
        f"{served}/labels.txt", f"{served}/1/model.plan",
    }  # fmt: skip
    with pytest.raises(GateError, match=r"does not list engines/model\.fp16\.plan, "):
        check_listed(manifest)


def test_names_of_many_foreign_files_are_not_all_told(tmp_path: Path) -> None:
    manifest = {"files": {}}
    for name in ("manifest.json", "manifest.sha256", *(f"{index}.bin" for index in range(2000))):
        os.close(os.open(tmp_path / name, os.O_CREAT))
    with pytest.raises(GateError) as caught:
        check_folder(tmp_path, manifest)
    assert "more" in caught.value.message and len(caught.value.message) < 300
