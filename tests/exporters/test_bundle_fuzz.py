"""Bundles that are broken at random, with every hash forged: verified, or one error with an exit code of its own.

`make fuzz` breaks 2,000 of them anew; the default suite a few of each kind, always the same.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exporters.bundle.manifest import seal
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.errors import TmkdError
from exporters.core.files import dump_json
from exporters.onnx.reader import read_onnx
from exporters.runtimes import confined

from .forging import FILES, resealed

IS_FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
LISTED = [name for name in FILES if not name.startswith("manifest.")]
TEXTS = ["labels.json", "preprocess.json", "parity.json", "benchmark.json", "sbom.cdx.json"]


def examples(few: int, many: int) -> settings:
    """So many examples in `make fuzz`, and few in the default suite; none is shrunk, which would take minutes."""
    return settings(
        max_examples=many if IS_FUZZING else few,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def broken(packed: Path) -> Iterator[Path]:
    """A copy for one example."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(packed, Path(folder) / "bundle"))


def judged(bundle: Path, *, load: bool = False) -> None:
    """Every error is one that a user is meant to read, of exit 2, 3 or 4, and no longer than a page."""
    with contextlib.suppress(TmkdError):
        try:
            verify_bundle(bundle)
            if load:
                Student.load(bundle)
        except TmkdError as error:
            assert error.exit_code in {2, 3, 4} and 0 < len(error.message) < 4000
            raise


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_SECONDS", 5.0)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | st.floats() | st.text(max_size=30)
    | st.sampled_from(["\x1b[2J", "../x", "/home/a/b", "0" * 64, "model.onnx", "x" * 5000])
)  # fmt: skip
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict | list):
            keys = list(container) if isinstance(container, dict) else range(len(container))
            found += [(container, key) for key in keys]
            waiting += [container[key] for key in keys]
    return found


def break_json(draw: Callable[..., Any], value: Any) -> None:
    """Replace, remove or add values, in place."""
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(value) or [(value, None)]))
        kind = draw(st.sampled_from(["replace", "remove", "add"]))
        if kind == "replace" and key is not None:
            container[key] = draw(VALUES)
        elif kind == "remove" and key is not None:
            del container[key]
        elif isinstance(container, dict):
            container[draw(st.text(max_size=20))] = draw(VALUES)


def break_bytes(draw: Callable[..., Any], data: bytes) -> bytes:
    """Flip, cut, insert or repeat bytes."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(changed) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "begin"]))
        if kind == "flip" and changed:
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del changed[place : place + draw(st.integers(1, 64))]
        elif kind == "insert":
            changed[place:place] = draw(st.binary(max_size=16))
        elif kind == "repeat":
            changed[place:place] = changed[place : place + draw(st.integers(1, 4096))]
        elif changed:
            changed[min(place, 300) % len(changed)] = draw(st.integers(0, 255))
    return bytes(changed)


def write_sealed(bundle: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    (bundle / "manifest.json").write_bytes(data)
    (bundle / "manifest.sha256").write_bytes(seal(data))


@examples(15, 600)
@given(st.data())
def test_broken_manifest(packed: Path, data: st.DataObject) -> None:
    with broken(packed) as bundle:
        manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
        break_json(data.draw, manifest)
        write_sealed(bundle, json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        judged(bundle, load=True)


@examples(15, 600)
@given(st.data())
def test_broken_description(packed: Path, data: st.DataObject) -> None:
    with broken(packed) as bundle:
        path = bundle / data.draw(st.sampled_from(TEXTS))
        value = json.loads(path.read_text("utf-8"))
        break_json(data.draw, value)
        with contextlib.suppress(ValueError):  # no JSON of ours
            path.write_bytes(dump_json(value).encode("utf-8", "surrogatepass"))
        resealed(bundle)
        judged(bundle, load=True)


@examples(12, 400)
@given(st.data())
def test_broken_bytes_of_any_file(packed: Path, data: st.DataObject) -> None:
    with broken(packed) as bundle:
        path = bundle / data.draw(st.sampled_from(LISTED))
        path.write_bytes(break_bytes(data.draw, path.read_bytes()))
        resealed(bundle)
        judged(bundle)


def forge_model(bundle: Path, model: bytes) -> None:
    """Put another model in, and forge the lists of its tensors and operators where it can be read."""
    (bundle / "model.onnx").write_bytes(model)
    forged: dict[str, Any] = {"size": len(model)}
    with contextlib.suppress(TmkdError):
        read = read_onnx(model)
        forged["operators"] = read.operators
        forged["initializers"] = [
            {"name": one.name, "dtype": one.dtype, "dims": list(one.dims), "sha256": one.sha256, "origin": "x"}
            for one in read.tensors
        ]
    resealed(bundle, lambda manifest: manifest["models"]["model.onnx"].update(forged))


OPERATORS = ["ConstantOfShape", "Expand", "Tile", "Pad", "Resize", "Loop", "MatMul", "NonZero", "Range", "Nonsense"]


def break_model(draw: Callable[..., Any], model: onnx.ModelProto) -> None:
    """Change the graph, and leave it one that can be parsed."""
    graph = model.graph
    node = draw(st.sampled_from(list(graph.node)))
    kind = draw(
        st.sampled_from(["operator", "input", "output", "remove", "twice", "dims", "value", "attribute", "opset"])
    )
    names = [value for each in graph.node for value in (*each.input, *each.output)]
    if kind == "operator":
        node.op_type = draw(st.sampled_from(OPERATORS))
    elif kind == "input" and node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
    elif kind == "output" and node.output:
        node.output[0] = draw(st.sampled_from(names))
    elif kind == "remove":
        graph.node.remove(node)
    elif kind == "twice":
        graph.node.append(node)
    elif kind == "dims":
        tensor = draw(st.sampled_from(list(graph.initializer)))
        tensor.dims.append(draw(st.sampled_from([0, 1, 2**31, 2**62, -1])))
    elif kind == "value":
        tensor = draw(st.sampled_from(list(graph.initializer)))
        tensor.raw_data = break_bytes(draw, tensor.raw_data)[: len(tensor.raw_data)].ljust(
            len(tensor.raw_data), b"\xff"
        )
    elif kind == "attribute":
        attribute = node.attribute.add(name=draw(st.sampled_from(["axis", "pads", "to", "keepdims", "x"])), type=2)
        attribute.i = draw(st.integers(-(2**63), 2**63 - 1))
    else:
        model.opset_import[0].version = draw(st.integers(-1, 2**31))


@examples(12, 400)
@given(st.data())
def test_broken_model(packed: Path, data: st.DataObject) -> None:
    with broken(packed) as bundle:
        content = (bundle / "model.onnx").read_bytes()
        if data.draw(st.booleans()):
            model = onnx.load_from_string(content)
            break_model(data.draw, model)
            content = model.SerializeToString()
        else:
            content = break_bytes(data.draw, content)
        forge_model(bundle, content)
        judged(bundle)
