"""Bundles whose models give class activation maps: proved like the logits, and no place to hide anything in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from exporters.bundle.contents import BundleContents
from exporters.bundle.layout import allowed_files
from exporters.bundle.manifest import SCHEMA
from exporters.bundle.verify import verify_bundle
from exporters.core.arrays import npz_bytes, read_npz
from exporters.onnx.reader import read_onnx
from tests.exporters.bundle.test_triton import NUMPY_OF, parsed
from tests.exporters.conftest import Exported
from tests.exporters.forging import FILES, change_model, failure, resealed
from tests.exporters.student.test_cam import by_hand


@pytest.fixture
def bundle(packed_with_cam: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_with_cam, tmp_path / "bundle"))


def test_maps_are_packed_described_and_verified(packed_with_cam: Path, cifar: Exported) -> None:
    report = verify_bundle(packed_with_cam)
    manifest = report.manifest
    assert report.size.files == len(FILES) + 1 and manifest["cam"] == {"height": 8, "width": 8}
    assert allowed_files(manifest) == set(manifest["files"]) and "golden/cam.npz" in manifest["files"]
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text("utf-8")))
    maps = read_npz("cam", (packed_with_cam / "golden" / "cam.npz").read_bytes(), "cam")
    expected = by_hand(cifar, cifar.images[:8])[1]
    np.testing.assert_allclose(maps, expected, atol=1e-5 * np.abs(expected).max())
    card = (packed_with_cam / "MODEL_CARD.md").read_text("utf-8")
    assert "## Where it looks" in card and "float32 `[batch, 8, 8]`" in card
    folder = packed_with_cam / "triton" / "finches"
    config = parsed((folder / "config.pbtxt").read_bytes())
    outputs = read_onnx((folder / "1" / "model.onnx").read_bytes()).outputs
    assert [(one.name, one.data_type, ("batch", *one.dims)) for one in config.output] == [
        (value.name, NUMPY_OF[value.dtype], value.dims) for value in outputs
    ]


def test_without_maps_nothing_of_a_bundle_knows_of_them(contents: BundleContents, packed: Path) -> None:
    manifest = json.loads((packed / "manifest.json").read_text())
    assert "cam" not in manifest and contents.golden_cam is None and "cam" not in contents.parity["fp32"]
    assert not any("cam" in name for name in manifest["files"])
    assert all("cam_tolerance" not in entry for entry in manifest["models"].values())
    for name in ("MODEL_CARD.md", "triton/finches/config.pbtxt", "parity.json"):
        assert "cam" not in (packed / name).read_text("utf-8").replace("camera", "")


def least_likely(model: onnx.ModelProto) -> None:
    """The map of another class than the answer's."""
    node = next(node for node in model.graph.node if node.op_type == "ArgMax")
    node.op_type = "ArgMin"


def other_class(model: onnx.ModelProto) -> None:
    """The same by a constant that the logits do not follow from."""
    node = next(node for node in model.graph.node if node.op_type == "ArgMax")
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array(-1, np.float32), "minus"))
    graph.node.insert(list(graph.node).index(node), helper.make_node("Mul", ["logits", "minus"], ["negated"], "negate"))
    node.input[0] = "negated"


def hidden_weights(model: onnx.ModelProto) -> None:
    """Values that the map alone follows from."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.arange(64, dtype=np.float32).reshape(8, 8), "hidden"))
    last = graph.node[-1]
    graph.node.append(helper.make_node("Mul", ["first", "hidden"], ["cam"], "hide"))
    last.output[0] = "first"


def chain(model: onnx.ModelProto) -> None:
    """A long chain of operators whose order could say something."""
    graph = model.graph
    last, value = graph.node[-1], "link0"
    last.output[0] = value
    for index in range(30):
        graph.node.append(helper.make_node("Cast", [value], [f"link{index + 1}"], f"link{index}", to=1))
        value = f"link{index + 1}"
    graph.node[-1].output[0] = "cam"


def third_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("more", 1, ["batch", 7]))
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["more"], "again"))


def odd_shape(model: onnx.ModelProto) -> None:
    model.graph.output[-1].type.tensor_type.shape.dim[1].dim_value = 16


def no_map(model: onnx.ModelProto) -> None:
    graph = model.graph
    del graph.output[-1]
    first = next(index for index, node in enumerate(graph.node) if node.op_type == "ArgMax")
    del graph.node[first:]
    for tensor in [each for each in graph.initializer if each.name.startswith("cam_")]:
        graph.initializer.remove(tensor)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (least_likely, "operators that the logits do not need"),
        (other_class, "not a part of the student"),
        (hidden_weights, "the logits do not follow from hidden: not a part of the student"),
        (chain, "operators that the logits do not need"),
        (third_output, "whose outputs are"),
        (odd_shape, "do not fit model.onnx"),
        (no_map, "whose outputs are"),
    ],
)
def test_odd_output_or_one_that_hides_something_is_refused(
    bundle: Path, change: Callable[[onnx.ModelProto], None], said: str
) -> None:
    change_model(bundle, change)
    assert said in failure(bundle)


def test_another_map_by_the_same_operators_is_found_by_the_golden_maps(bundle: Path) -> None:
    """Every hash is forged, and the graph has the right form."""

    def doubled(model: onnx.ModelProto) -> None:
        product = next(node for node in model.graph.node if node.name == "cam_product")
        position = list(model.graph.node).index(product)
        model.graph.node.insert(
            position + 1, helper.make_node("Mul", ["cam_product", "cam_product"], ["cam_squared"], "cam_squared")
        )
        next(node for node in model.graph.node if node.name == "cam_map").input[0] = "cam_squared"

    change_model(bundle, doubled)
    assert "does not reproduce golden/cam.npz at batch 8" in failure(bundle)


def test_golden_maps_are_held_against_the_models(bundle: Path) -> None:
    path = bundle / "golden" / "cam.npz"
    maps = read_npz("cam", path.read_bytes(), "cam")
    path.write_bytes(npz_bytes("cam", maps[::-1].copy()))
    resealed(bundle)
    assert "does not reproduce golden/cam.npz" in failure(bundle)
    for other in (maps[:4].copy(), maps.astype(np.float64), np.full_like(maps, np.nan)):
        path.write_bytes(npz_bytes("cam", other))
        resealed(bundle)
        assert "golden/cam.npz" in failure(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest.pop("cam"), "needs a cam_tolerance where"),
        (lambda manifest: manifest.update(cam=None), "manifest.json: cam"),
        (lambda manifest: manifest["cam"].update(depth=3), "no key of a manifest"),
        (lambda manifest: manifest["models"]["model.onnx"].pop("cam_tolerance"), "needs a cam_tolerance where"),
        (lambda manifest: manifest["models"]["model.onnx"].update(cam_tolerance=0.5), "cam_tolerance of at most 0.001"),
        (lambda manifest: manifest["models"]["model.onnx"].update(cam_tolerance=9e-4), "parity.json accounts for"),
        (lambda manifest: manifest["files"].pop("golden/cam.npz"), "does not list golden/cam.npz"),
        (lambda manifest: manifest["cam"].update(height=9), "are no 8 maps of 9 by 8"),
    ],
)
def test_forged_manifest_is_refused(bundle: Path, change: Callable[[dict], object], said: str) -> None:
    resealed(bundle, change)  # type: ignore[arg-type]
    assert said in failure(bundle)


def test_maps_cannot_be_added_to_a_bundle_without_them(packed: Path, packed_with_cam: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(packed, tmp_path / "other"))
    (bundle / "model.onnx").write_bytes((packed_with_cam / "model.onnx").read_bytes())
    change_model(bundle, lambda model: None)
    assert "whose outputs are" in failure(bundle)
