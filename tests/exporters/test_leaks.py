"""Anything of a teacher planted into a bundle is found, even if every hash that would reveal it is forged too."""

import base64
import io
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from exporters.bundle.verify import verify_bundle
from exporters.core.arrays import npz_bytes
from exporters.core.files import dump_json

from .forging import COPY, add_file, change_model, failure, resealed

WEIGHTS = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


def initializer(model: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    model.graph.initializer.append(numpy_helper.from_array(values, name))


def without_effect(model: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    """The values lead to the logits, as zero times their largest: no hash and no golden vector tells."""
    initializer(model, name, values)
    initializer(model, "zero", np.zeros((), np.float32))
    logits = next(node for node in model.graph.node if "logits" in node.output)
    logits.output[list(logits.output).index("logits")] = "before"
    nodes = [
        helper.make_node("ReduceMax", [name], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
        helper.make_node("Add", ["before", "nothing"], ["logits"]),
    ]
    model.graph.node.extend(nodes)


def looked_up(model: onnx.ModelProto) -> None:
    """An embedding of tokens, of which one row is read."""
    without_effect(model, "rows", np.zeros((2, 2), np.float32))
    initializer(model, "table", np.zeros((12_000, 1), np.float32))
    initializer(model, "token", np.array([7]))
    largest = next(node for node in model.graph.node if "largest" in node.output)
    largest.input[0] = "row"
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == "rows"))
    model.graph.node.insert(0, helper.make_node("Gather", ["table", "token"], ["row"]))


def constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(WEIGHTS, "w")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], "unused", value=tensor))


def metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="notes", value=base64.b64encode(WEIGHTS.tobytes()).decode())


def custom_operator(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="teachers", version=1)
    model.graph.node.append(helper.make_node("Teacher", ["image"], ["y"], domain="teachers"))


def branch(model: onnx.ModelProto) -> None:
    def body(name: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, 64])
        node = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(WEIGHTS))
        return helper.make_graph([node], name, [], [output])

    initializer(model, "yes", np.array(True))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["out"], "if", then_branch=body("a"), else_branch=body("b"))
    )


def function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(WEIGHTS))
    opset = helper.make_opsetid("", 20)
    model.functions.append(helper.make_function("teachers", "Teacher", [], ["y"], [node], [opset]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: initializer(model, "fc.weight", WEIGHTS), "the logits do not follow from fc.weight"),
        (lambda model: initializer(model, "class_embedding", WEIGHTS[:7]), "do not follow from class_embedding"),
        (lambda model: initializer(model, "state", WEIGHTS.astype(np.float16)), "do not follow from state"),
        (lambda model: initializer(model, "p", np.frombuffer(pickle.dumps(WEIGHTS), np.uint8)), "do not follow from p"),
        (constant, "do not follow from unused"),
        (lambda model: without_effect(model, "teacher.fc.weight", WEIGHTS), "teacher.fc.weight"),
        (lambda model: without_effect(model, "text_projection", WEIGHTS), "text_projection"),
        (lambda model: without_effect(model, "fc.weight.exp_avg", WEIGHTS), "fc.weight.exp_avg"),
        (lambda model: without_effect(model, "w", np.tile(WEIGHTS, (50, 1))), "values are more than a student of"),
        (looked_up, "table is looked up by its 12,000 rows"),
        (metadata, "metadata that no student has: notes"),
        (custom_operator, "teachers::Teacher"),
        (branch, "no image classifier needs: If"),
        (function, "no image classifier needs: Teacher"),
        (lambda model: setattr(model, "producer_name", "/home/ada/tool"), "/home/ada"),
        (lambda model: setattr(model.graph.node[3], "name", "C:\\Users\\ada\\x"), "Users"),
    ],
)
def test_leak_planted_in_the_model_is_found(
    bundle: Path, change: Callable[[onnx.ModelProto], None], words: str
) -> None:
    change_model(bundle, change)
    assert words in failure(bundle)


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def optimiser_state() -> bytes:
    layer = torch.nn.Linear(4, 4)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(4)).sum().backward()
    optimiser.step()
    return saved(optimiser.state_dict())


@pytest.mark.parametrize(
    "suffix", [".pt", ".pkl", ".bin", ".safetensors", ".json", ".md", ".txt", ".yaml", ".onnx", ".npz"]
)
@pytest.mark.parametrize("content", [optimiser_state(), pickle.dumps(WEIGHTS)], ids=["optimiser", "pickle"])
def test_leak_planted_as_a_file_of_any_kind_is_found(bundle: Path, suffix: str, content: bytes) -> None:
    add_file(bundle, f"extra{suffix}", content)
    assert f"extra{suffix}" in failure(bundle)


@pytest.mark.parametrize(
    "name", ["triton/teacher/1/model.onnx", "triton/finches/2/model.onnx", "triton/finches/1/model.plan"]
)
def test_leak_planted_in_the_model_repository_is_found(bundle: Path, name: str) -> None:
    if name.endswith(".onnx"):
        add_file(bundle, name, (bundle / "model.onnx").read_bytes() + b"\0")
        assert f"lists {name}, which no such bundle has" in failure(bundle)
    else:
        add_file(bundle, name, WEIGHTS.tobytes())
        assert name in failure(bundle)


def test_copy_of_another_model_is_found(bundle: Path) -> None:
    data = (bundle / COPY).read_bytes()
    (bundle / COPY).write_bytes(data + b"\0")

    def forge(manifest: dict) -> None:
        from exporters.core.files import sha256_bytes

        manifest["files"][COPY] = {"sha256": sha256_bytes(data + b"\0"), "size": len(data) + 1}
        (bundle / COPY).write_bytes(data + b"\0")

    resealed(bundle, forge)
    assert f"{COPY}: not a copy of model.onnx" in failure(bundle)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("parity.json", dump_json({"w": WEIGHTS.reshape(-1).tolist()}), "a list of 4,096 numbers"),
        ("parity.json", dump_json({"w": base64.b64encode(WEIGHTS.tobytes()).decode()}), "a text of"),
        ("benchmark.json", dump_json([{"a": 1.5}] * 100_000), "bytes are more than a bundle holds"),
        ("MODEL_CARD.md", base64.b64encode(WEIGHTS.tobytes()).decode(), "a line of more than"),
        ("MODEL_CARD.md", "x\n" * 200_000, "bytes are more than such a file needs"),
        ("triton/finches/labels.txt", "x\n" * 7, "not what the name, the size and the labels"),
        ("triton/finches/config.pbtxt", "# x\n" * 10_000, "bytes are more than a bundle holds"),
        ("benchmark.json", dump_json({"file": "/home/ada/runs/model.onnx"}), "/home/ada"),
        ("benchmark.json", dump_json({"file": "C:\\Users\\ada"}), "C:"),
        ("parity.json", dump_json({"~/teacher.pt": 1}), "~/teacher.pt"),
        ("MODEL_CARD.md", "made in /workspace/ada/run", "/workspace/ada"),
        ("kserve/inference-service.yaml", "storageUri: file:///data/x", "file://"),
        ("sbom.cdx.json", dump_json({"path": "\\\\server\\share\\ada"}), "server"),
    ],
)
def test_leak_planted_in_a_text_is_found(bundle: Path, name: str, content: str, words: str) -> None:
    (bundle / name).write_text(content, encoding="utf-8")
    resealed(bundle)
    message = failure(bundle)
    assert name in message and words in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest["facts"]["teacher"].update(visual="/home/ada/resnet50.pth"), "/home/ada"),
        (lambda manifest: manifest.update(weights=WEIGHTS.reshape(-1).tolist()), "weights: no key of a manifest"),
        (lambda manifest: manifest.update(weights=base64.b64encode(WEIGHTS.tobytes()).decode()), "weights: no key"),
        (
            lambda manifest: manifest["facts"]["data"].update(weights=WEIGHTS.reshape(-1)[:65].tolist()),
            "a list of 65 numbers",
        ),
        (
            lambda manifest: manifest["facts"]["metrics"].update(w=base64.b64encode(WEIGHTS.tobytes()[:4096]).decode()),
            "a text of",
        ),
        (
            lambda manifest: manifest["facts"]["teacher"].update(weights=[["0123456789"] * 10] * 1000),
            "bytes about teacher, metrics and data",
        ),
        (lambda manifest: manifest["facts"].update(weights="x"), "facts.weights: no key"),
        (lambda manifest: manifest["models"]["model.onnx"].update(notes="x"), "models.model.onnx.notes: no key"),
    ],
)
def test_leak_planted_in_the_manifest_is_found(bundle: Path, change: Callable[[dict], None], words: str) -> None:
    resealed(bundle, change)
    message = failure(bundle)
    assert "manifest.json" in message and words in message


def test_too_many_golden_images_are_refused(bundle: Path) -> None:
    """An array of images has room for weights."""
    (bundle / "golden/inputs.npz").write_bytes(npz_bytes("image", np.zeros((65, 32, 32, 3), np.uint8)))
    resealed(bundle)
    assert "65 images, and manifest.json tells of 8" in failure(bundle)
    resealed(bundle, lambda manifest: manifest["golden"].update(images=65))
    assert "golden.images: Input should be less than or equal to 64" in failure(bundle)


def test_clean_bundle_is_not_taken_for_a_leak(packed: Path) -> None:
    verify_bundle(packed)
