"""Finding and loading the two bundles."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters.bundle.place import bundle_of
from exporters.core.errors import GateError, UsageError
from pipeline.diff.bundles import open_bundle

from .making import logits_of, make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    tables = {"model.onnx": logits_of([0, 1], 2), "model.int8.onnx": logits_of([0, 0], 2)}
    return make_bundle(tmp_path / "run" / "bundle", ["a", "b"], tables)


def test_folder_of_a_run_stands_for_its_bundle(bundle: Path) -> None:
    assert bundle_of(bundle.parent) == bundle == bundle_of(bundle)
    opened = open_bundle(bundle.parent, "fp32", "cpu")
    assert (opened.folder, opened.file, opened.name) == (bundle, "model.onnx", "student")
    assert opened.bytes == (bundle / "model.onnx").stat().st_size
    assert opened.bundle_bytes == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def test_precision_chooses_the_model(bundle: Path) -> None:
    image = np.full((1, 8, 8, 3), (0, 1, 7), np.uint8)  # the second row of the tables
    answers = {name: open_bundle(bundle, name, "cpu").load(1).logits(image).argmax() for name in ("fp32", "int8")}
    assert answers == {"fp32": 1, "int8": 0}
    with pytest.raises(UsageError, match="no fp16 model") as caught:
        open_bundle(bundle, "fp16", "cpu")
    assert "fp32, int8" in str(caught.value) and str(bundle) in str(caught.value)


def test_errors_name_the_bundle(bundle: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"x" * (bundle / "model.onnx").stat().st_size)
    with pytest.raises(GateError, match=r"broken: model\.onnx: damaged"):
        open_bundle(broken, "fp32", "cpu")
    with pytest.raises(UsageError, match="absent: no such folder"):
        open_bundle(tmp_path / "absent", "fp32", "cpu")
