"""Stage `export`: the recipe's opset, and a source for every tensor."""

import sys

import pytest

from exporters import __version__
from exporters.bundle.verify import verify_bundle
from exporters.core.files import read_json
from exporters.onnx.reader import read_onnx
from pipeline.recipe import load_recipe
from pipeline.stages.registry import STAGES
from tests.pipeline.conftest import Run, set_


def test_export_honours_the_opset_and_explains_every_tensor(run: Run) -> None:
    outcome = run(*set_({"export.onnx.opset": 18}), "--until", "parity")
    assert outcome.code == 0 and outcome.stages_run == ["export", "parity"]
    model = read_onnx((run.directory / "export" / "model.onnx").read_bytes())
    assert model.opsets[""] == 18
    audit = read_json(run.directory / "export" / "audit.json")
    assert len(audit["initializers"]) == len(model.tensors)


def test_renamed_run_ships_a_model_of_the_new_name(run: Run) -> None:
    """What writes a name, a licence or a version is made again where these change."""
    planned = run.plan({"name": "terns"})
    assert planned["distill"][0] == "reuse" and planned["export"][0] == "run" and "name" in planned["export"][1]
    outcome = run(*set_({"name": "terns"}))
    assert outcome.code == 0 and outcome.stages_run == ["export", "parity", "bundle"], outcome.err
    manifest = verify_bundle(run.directory / "bundle").manifest
    model = read_onnx((run.directory / "bundle" / "model.onnx").read_bytes())
    assert manifest["name"] == "terns" and model.metadata["name"] == '"terns"'
    assert model.metadata["licence"] == '"CC0-1.0"' and model.metadata["version"] == f'"{__version__}"'
    for stage in ("export", "bundle"):
        (found,) = (one for one in STAGES if one.name == stage)
        assert found.parameters(load_recipe(run.recipe).recipe)["version"] == __version__


def test_openvino_is_made_proved_and_packed_by_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in (run.directory / "bundle").rglob("*") if path.is_file()}
    # Off, whatever the precision: nothing runs again, and the bundle stays as it is.
    assert run(*set_({"export.openvino.precision": ["fp32"]})).stages_run == []
    assert {path: path.read_bytes() for path in before} == before
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "openvino", None)
        missing = run(*set_({"export.openvino.when": "required"}))
        assert missing.code == 4 and "export.openvino: OpenVINO is not installed" in missing.err
    pytest.importorskip("openvino")
    asked = set_({"export.openvino.when": "required", "export.openvino.precision": ["fp32", "fp16"]})
    outcome = run(*asked)
    assert outcome.code == 0 and outcome.stages_run == ["export", "parity", "bundle"], outcome.err
    assert "openvino/model.fp16.xml: shipped, proved by OpenVINO" in outcome.out
    parity = read_json(run.directory / "parity" / "parity.json")["openvino"]
    assert {name: (each["status"], each["whole"]["images"]) for name, each in parity.items()} == {
        "fp16": ("shipped", 12), "fp32": ("shipped", 12),
    }  # fmt: skip
    manifest = verify_bundle(run.directory / "bundle").manifest
    assert set(manifest["openvino"]) == {"openvino/model.xml", "openvino/model.fp16.xml"}
    benchmark = read_json(run.directory / "bundle" / "benchmark.json")["runtimes"]
    assert {"onnxruntime-cpu", "openvino-cpu", "openvino-cpu fp16", "torch-cpu"} == set(benchmark)
    assert run(*asked).stages_run == []
    strict = {"parity.fp16.max_scaled_error": 1e-9}
    failed = run(*asked, *set_(strict), "--until", "parity")
    assert failed.code == 3 and "openvino/model.fp16.xml must ship and is rejected" in failed.err
    rejected = {path.name for path in (run.directory / "parity" / "rejected").iterdir()}
    assert rejected == {"model.fp16.xml", "model.fp16.bin", "model.fp16.xml.json"}
