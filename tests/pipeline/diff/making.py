"""Bundles whose answers are chosen image by image: the model looks its logits up by the colour of an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporters.bundle.manifest import MODELS, REQUIRED, seal
from exporters.core.files import dump_json, sha256_bytes
from exporters.images.preprocessing import Preprocessing


def looking_up(table: np.ndarray, size: int) -> bytes:
    """An ONNX file that gives row `256·red + green` of `table` `[N, K]` for an image in one colour."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: Any, dtype: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, dtype), name)

    nodes = [
        helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.INT64),
        helper.make_node("Slice", ["wide", "starts", "ends", "axes"], ["pixel"]),
        helper.make_node("Reshape", ["pixel", "shape"], ["digits"]),
        helper.make_node("MatMul", ["digits", "base"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["logits"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "looking_up",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", table.shape[1]])],
        [
            constant("starts", [0, 0, 0], np.int64),
            constant("ends", [1, 1, 2], np.int64),
            constant("axes", [1, 2, 3], np.int64),
            constant("shape", [-1, 2], np.int64),
            constant("base", [256, 1], np.int64),
            constant("table", table, np.float32),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def logits_of(answers: Sequence[int], classes: int, margin: float = 3.0) -> np.ndarray:
    """Logits `[N, classes]` float32 whose largest is that of each answer, by `margin`."""
    table = np.zeros((len(answers), classes), np.float32)
    table[np.arange(len(answers)), answers] = margin
    return table


def make_bundle(
    folder: Path,
    labels: Sequence[str],
    tables: np.ndarray | Mapping[str, np.ndarray],
    size: int = 8,
    name: str = "student",
) -> Path:
    """Write a bundle with the files that a client reads; of the others there are empty ones.

    Args:
        folder: of the bundle.
        labels: K of them.
        tables: logits `[N, K]` of each image, of `model.onnx` or by file.
        size: of its images.
        name: of the student.
    """
    by_file = {"model.onnx": tables} if isinstance(tables, np.ndarray) else tables
    contents = dict.fromkeys(REQUIRED, b"{}\n")
    contents |= {file: looking_up(table, size) for file, table in by_file.items()}
    contents["labels.json"] = dump_json(list(labels)).encode()
    contents["preprocess.json"] = dump_json(Preprocessing(size, size + 2, (0.5,) * 3, (0.5,) * 3).to_json()).encode()
    facts: dict[str, Any] = dict.fromkeys(("licences", "teacher", "versions", "metrics", "data", "results"))
    manifest = {
        "format": "tmkd-bundle/1",
        "name": name,
        "version": "0.1.0",
        "architecture": "cifar:resnet8",
        "parameters": 1000,
        "classes": len(labels),
        "models": {
            file: {
                "precision": MODELS[file], "size": len(contents[file]), "opset": 20, "ir_version": 10,
                "golden_tolerance": 1e-4, "operators": {}, "initializers": [],
            }
            for file in by_file
        },
        "engines": {},
        "golden": {"images": 8},
        "facts": {
            **{key: {} for key in facts}, "recipe_sha256": "", "data_fingerprint": "", "command": "", "provenance": "",
        },
        "files": {file: {"sha256": sha256_bytes(data), "size": len(data)} for file, data in contents.items()},
    }  # fmt: skip
    for file, data in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    sealed = dump_json(manifest).encode()
    (folder / "manifest.json").write_bytes(sealed)
    (folder / "manifest.sha256").write_bytes(seal(sealed))
    return folder


def make_images(root: Path, truth: Sequence[str]) -> Path:
    """Image k, in a colour that says k, in the folder of its class."""
    for number, name in enumerate(truth):
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (number // 256, number % 256, 7)).save(root / name / f"{number:05}.png")
    return root
