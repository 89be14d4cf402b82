"""Engines in a bundle: listed with what they were built from, and verified without being loaded."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytest.importorskip("tensorrt_rtx")

from exporters.artifacts.engines import build_engines
from exporters.benchmark.bundle import benchmark_bundle
from exporters.bundle.contents import BundleContents, ShippedEngine
from exporters.bundle.manifest import SCHEMA, engine_path
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError
from exporters.core.files import dump_json
from exporters.tensorrt import EngineSettings
from exporters.tensorrt.gpu import current_gpu
from tests.exporters.bundle.test_verify import failure, resealed
from tests.exporters.conftest import Exported

PLAN = "engines/model.plan"
SIDECAR = f"{PLAN}.json"


def engine_of(exported: Exported, folder: Path) -> ShippedEngine:
    settings = EngineSettings((1, 4, 8))
    models = {"fp32": exported.export.path}
    made = build_engines(["fp32"], models, folder, settings, library="tensorrt_rtx", required=True)
    plan = folder / made["fp32"].file
    return ShippedEngine("model.onnx", plan.read_bytes(), plan.with_name(plan.name + ".json").read_bytes())


@pytest.fixture(scope="module")
def engine(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> ShippedEngine:
    return engine_of(cifar, tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def others(shufflenet: Exported, tmp_path_factory: pytest.TempPathFactory) -> ShippedEngine:
    """Of another student."""
    return engine_of(shufflenet, tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def with_engine(contents: BundleContents, engine: ShippedEngine) -> BundleContents:
    parity = {**contents.parity, "engines": {"fp32": {**contents.parity["fp32"], "status": "shipped"}}}
    return replace(contents, engines=[engine], parity=parity)


@pytest.fixture(scope="module")
def made(with_engine: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with_engine") / "bundle"
    pack(with_engine, folder)
    return folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def test_engine_is_packed_and_described(made: Path, engine: ShippedEngine) -> None:
    assert (made / PLAN).read_bytes() == engine.plan and (made / SIDECAR).read_bytes() == engine.sidecar
    assert engine_path("model.int8.trt.onnx") == "engines/model.int8.trt.plan"
    manifest = verify_bundle(made).manifest
    sidecar = json.loads(engine.sidecar)
    assert manifest["engines"] == {
        PLAN: {
            "source": "model.onnx",
            **{key: sidecar[key] for key in ("precision", "library", "gpu", "compute_capabilities", "profile")},
        }
    }
    assert {PLAN, SIDECAR} <= set(manifest["files"])
    card = (made / "MODEL_CARD.md").read_text()
    assert f"| {PLAN} | tensorrt_rtx" in card and "| fp32 engine | 20 |" in card


@pytest.mark.parametrize("report", [None, {"passed": False, "status": "not proved"}])
def test_unproved_engine_is_not_packed(with_engine: BundleContents, report: Any, tmp_path: Path) -> None:
    parity = {"fp32": with_engine.parity["fp32"], "engines": {} if report is None else {"fp32": report}}
    with pytest.raises(GateError, match=f"parity of {PLAN} has not passed"):
        pack(replace(with_engine, parity=parity), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_stale_engine_is_not_packed(with_engine: BundleContents, others: ShippedEngine, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="stale"):
        pack(replace(with_engine, engines=[others]), tmp_path / "bundle")


@pytest.mark.parametrize("name", [PLAN, SIDECAR])
def test_a_damaged_or_missing_file_is_named(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    assert f"{name}: damaged" in failure(bundle)
    (bundle / name).unlink()
    assert name in failure(bundle) and "missing" in failure(bundle)


def test_resealed_engine_of_another_student_is_found(bundle: Path, others: ShippedEngine) -> None:
    """Hashes and the seal are right; what the plan was built from is not."""
    (bundle / PLAN).write_bytes(others.plan)
    resealed(bundle)
    assert f"{PLAN}: not the plan that {SIDECAR} was written for" in failure(bundle)
    (bundle / SIDECAR).write_bytes(others.sidecar)
    sidecar = json.loads(others.sidecar)

    def describe(manifest: dict[str, Any]) -> None:
        manifest["engines"][PLAN].update(profile=sidecar["profile"])

    resealed(bundle, describe)
    assert f"{PLAN}: stale, it was built from another ONNX file" in failure(bundle)


def test_rewritten_sidecar_is_found(bundle: Path) -> None:
    sidecar = json.loads((bundle / SIDECAR).read_text())
    for change, words in (
        ({"precision": "fp16"}, f"says of {PLAN}"), ({"library": {"name": "tensorrt", "version": "11"}}, "says of"),
        ({"format": "other"}, "not a sidecar"), ({"plan": {"sha256": "0" * 64, "size": 5}}, "not the plan"),
    ):  # fmt: skip
        (bundle / SIDECAR).write_text(json.dumps({**sidecar, **change}))
        resealed(bundle)
        assert words in failure(bundle)


def _removed(manifest: dict[str, Any]) -> None:
    del manifest["engines"]


def _of_nothing(manifest: dict[str, Any]) -> None:
    manifest["engines"][PLAN]["source"] = "model.fp16.onnx"


def _of_many(manifest: dict[str, Any]) -> None:
    manifest["engines"][PLAN]["source"] = ["model.onnx"]


def _more(manifest: dict[str, Any]) -> None:
    manifest["engines"]["engines/other.plan"] = manifest["engines"][PLAN]


def _elsewhere(manifest: dict[str, Any]) -> None:
    manifest["files"]["model.plan"] = manifest["files"].pop(PLAN)
    manifest["engines"]["model.plan"] = manifest["engines"].pop(PLAN)


def _alone(manifest: dict[str, Any]) -> None:
    del manifest["files"][SIDECAR]


@pytest.mark.parametrize("change", [_removed, _of_nothing, _of_many, _more, _elsewhere, _alone])
def test_inconsistent_engine_entries_are_refused(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    resealed(bundle, change)
    assert "manifest.json: " in failure(bundle)


def test_bundle_without_engines_verifies(packed: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(packed, tmp_path / "old"))
    resealed(old, _removed)
    verify_bundle(old)


def test_triton_serves_only_tensorrt_engines(
    made: Path, with_engine: BundleContents, engine: ShippedEngine, tmp_path: Path
) -> None:
    repository = [path.name for path in (made / "triton").iterdir()]
    assert repository == ["finches"]  # the engine there is one of TensorRT for RTX
    sidecar = json.loads(engine.sidecar)
    sidecar["library"]["name"] = "tensorrt"
    other = replace(engine, sidecar=dump_json(sidecar).encode())
    pack(replace(with_engine, engines=[other]), tmp_path / "bundle")
    folder = tmp_path / "bundle" / "triton" / "finches_tensorrt_fp32"
    assert (folder / "1" / "model.plan").read_bytes() == engine.plan
    assert "max_batch_size: 8\n" in (folder / "config.pbtxt").read_text()
    manifest = verify_bundle(tmp_path / "bundle").manifest
    document = json.loads((tmp_path / "bundle" / "sbom.cdx.json").read_text())
    parts = document["metadata"]["component"]["components"]
    assert {part["name"]: part["hashes"][0]["content"] for part in parts} == {
        name: manifest["files"][name]["sha256"] for name in ("model.onnx", PLAN)
    }
    (folder / "1" / "model.plan").write_bytes(engine.plan + b"\0")
    resealed(tmp_path / "bundle")
    assert "triton/finches_tensorrt_fp32/1/model.plan: not a copy" in failure(tmp_path / "bundle")


def test_the_manifest_fits_its_schema(made: Path) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    manifest = json.loads((made / "manifest.json").read_text("utf-8"))
    jsonschema.validate(manifest, schema)
    manifest["engines"][PLAN]["library"]["name"] = "other"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, schema)


def test_benchmark_notes_engines_that_cannot_run(made: Path) -> None:
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    result = benchmark_bundle(made, batches=(1,), threads=(1,), seconds=0.0)
    assert [entry["runtime"] for entry in result["results"]] == ["onnxruntime-cpu"]
    (note,) = [note for note in result["notes"] if "engines" in note]
    assert note.startswith("engines were left out: TensorRT for RTX") and "torch finds none here" in note
