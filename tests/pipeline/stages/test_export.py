"""Stage `export`: the recipe's opset, and a source for every tensor."""

from exporters.core.files import read_json
from exporters.onnx.reader import read_onnx
from tests.pipeline.conftest import Run, set_


def test_export_honours_the_opset_and_explains_every_tensor(run: Run) -> None:
    outcome = run(*set_({"export.onnx.opset": 18}), "--until", "parity")
    assert outcome.code == 0 and outcome.stages_run == ["export", "parity"]
    model = read_onnx((run.directory / "export" / "model.onnx").read_bytes())
    assert model.opsets[""] == 18
    audit = read_json(run.directory / "export" / "audit.json")
    assert len(audit["initializers"]) == len(model.tensors)
