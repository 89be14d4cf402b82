"""Stage `export`: the recipe's opset, and a source for every tensor."""

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
