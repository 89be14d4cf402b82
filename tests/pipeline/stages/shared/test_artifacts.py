"""Engines on their way through the stages `export`, `parity` and `bundle`."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorrt_rtx")

from exporters.bundle.verify import verify_bundle
from exporters.core.files import read_json, sha256_file
from exporters.tensorrt.gpu import current_gpu
from pipeline.recipe import load_recipe
from pipeline.stages.registry import STAGES
from tests.exporters.engine_runtime import GPU, stand_in
from tests.pipeline.conftest import Run, run_command, set_

LENIENT = {"parity.int8.min_agreement": 0.5, "parity.int8.max_accuracy_drop": 0.5, "export.onnx.calibration.images": 24}
AVAILABLE = {"export.tensorrt.when": "available", "export.tensorrt.library": "tensorrt_rtx"}
REQUIRED = {**AVAILABLE, "export.tensorrt.when": "required"}
BOTH = {**LENIENT, "export.tensorrt.precision": "[fp16, int8]"}


def files(directory: Path, pattern: str) -> set[str]:
    return {path.name for path in (directory / "bundle").glob(pattern)}


@pytest.fixture
def without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)


def test_engine_proved_on_a_gpu_ships_with_its_source(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    asked = set_({**REQUIRED, **BOTH})
    outcome = run(*asked)
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.stages_run == ["export", "parity", "bundle"]
    assert files(run.directory, "*.onnx") == {"model.onnx", "model.fp16.onnx", "model.int8.trt.onnx"}
    plans = {"model.fp16.plan", "model.int8.trt.plan"}
    assert files(run.directory, "engines/*") == plans | {f"{name}.json" for name in plans}
    bundle = run.directory / "bundle"
    manifest, parity = read_json(bundle / "manifest.json"), read_json(bundle / "parity.json")
    for precision, source in (("fp16", "model.fp16.onnx"), ("int8", "model.int8.trt.onnx")):
        plan = f"engines/{source.removesuffix('.onnx')}.plan"
        sidecar, engine = read_json(bundle / f"{plan}.json"), parity["engines"][precision]
        assert manifest["engines"][plan] == {
            "precision": precision, "source": source, "library": sidecar["library"], "gpu": sidecar["gpu"],
            "compute_capabilities": [GPU.compute_capability], "profile": sidecar["profile"],
        }  # fmt: skip
        assert sidecar["onnx"]["sha256"] == manifest["files"][source]["sha256"] == sha256_file(bundle / source)
        assert [shape[0] for shape in sidecar["profile"]["image"].values()] == [64, 1, 16]  # max, min, opt
        assert (engine["status"], engine["passed"], engine["gpu"]) == ("shipped", True, GPU.name)
        assert engine["whole"]["images"] == 12 and set(engine["batches"]) == {"1", "7"}
        assert f"{source}: shipped" in outcome.out and f"{Path(plan).name}: shipped" in outcome.out
    assert parity["int8.trt"]["status"] == "shipped" and parity["int8.trt"]["speed"] is None
    assert "int8" not in parity and "timing cache new" in outcome.out
    verify_bundle(bundle)
    runtimes = read_json(bundle / "benchmark.json")["runtimes"]
    assert {"tensorrt_rtx fp16", "tensorrt_rtx int8.trt", "onnxruntime-cpu int8.trt"} <= set(runtimes)
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "| fp16 engine | 12 |" in card and "| engines/model.fp16.plan | tensorrt_rtx" in card
    assert run(*asked).stages_run == []
    assert (run.directory / "cache" / "tensorrt" / "tensorrt_rtx.timing").is_file()  # for the next build


def test_unproved_engine_is_reported_and_does_not_ship(run: Run) -> None:
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    outcome = run(*set_({**AVAILABLE, **BOTH}))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "WARNING: model.fp16.plan is not proved and does not ship" in outcome.out
    assert (run.directory / "export" / "engines" / "model.int8.trt.plan").is_file()
    parity = read_json(run.directory / "bundle" / "parity.json")
    for engine in parity["engines"].values():
        assert engine["status"] == "not proved" and "torch finds none here" in engine["reason"]
    assert files(run.directory, "*.onnx") == {"model.onnx"} and not files(run.directory, "engines/*")
    for name in ("fp16", "int8.trt"):  # neither was asked for by itself
        assert parity[name]["status"] == "not shipped" and "not proved" in parity[name]["reason"]
    kept = run(*set_({**AVAILABLE, **BOTH, "export.onnx.keep": "all"}))
    assert kept.code == 0 and kept.stages_run == ["parity", "bundle"]
    assert files(run.directory, "*.onnx") == {"model.onnx", "model.int8.trt.onnx"}
    verify_bundle(run.directory / "bundle")


def test_an_engine_that_fails_its_gate_is_rejected(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, error=0.5)
    fp32 = {"export.tensorrt.precision": "[fp32]"}
    outcome = run(*set_({**AVAILABLE, **fp32}))
    assert outcome.code == 0, outcome.out + outcome.err
    assert "model.plan: rejected" in outcome.out and not files(run.directory, "engines/*")
    rejected = run.directory / "parity" / "rejected"
    assert {path.name for path in rejected.iterdir()} == {"model.plan", "model.plan.json", "model.plan.parity.json"}
    assert read_json(rejected / "model.plan.parity.json")["whole"]["worst"]
    outcome = run(*set_({**REQUIRED, **fp32}))
    assert outcome.code == 3 and "model.plan must ship and is rejected" in outcome.err
    assert not (run.directory / "bundle").exists()
    assert read_json(run.directory / "parity" / "parity.json")["engines"]["fp32"]["status"] == "rejected"


def test_an_engine_of_another_student_ends_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fp32 = set_({**AVAILABLE, "export.tensorrt.precision": "[fp32]"})
    assert run(*fp32, "--until", "export").code == 0

    def never(*_arguments: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("exporters.runtimes.tensorrt.TensorRTRuntime", never)
    sidecar = run.directory / "export" / "engines" / "model.plan.json"
    original = sidecar.read_text()
    ours = sha256_file(run.directory / "export" / "model.onnx")
    sidecar.write_text(original.replace(ours, "ab" * 32))
    record = run.directory / "stages" / "export.json"
    record.write_text(record.read_text().replace(_digest(original), _digest(sidecar.read_text())))
    outcome = run(*fp32)
    assert outcome.stages_run == ["parity"] and outcome.code == 3
    assert "model.plan: stale" in outcome.err and "Traceback" not in outcome.err


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.usefixtures("without_tensorrt")
class TestWithoutTensorRT:
    def test_available_without_tensorrt_is_reported_and_recorded(self, run: Run) -> None:
        outcome = run(*set_({**AVAILABLE, "export.tensorrt.library": "auto"}))
        assert outcome.code == 0, outcome.out + outcome.err
        assert "WARNING: no TensorRT engine is made: TensorRT is not installed" in outcome.out
        assert "model.fp16.plan: not made" in outcome.out
        engine = read_json(run.directory / "bundle" / "parity.json")["engines"]["fp16"]
        assert (engine["status"], engine["passed"]) == ("not made", False) and "not installed" in engine["reason"]
        assert files(run.directory, "*.onnx") == {"model.onnx"}

    def test_required_ends_with_exit_4_before_anything_runs(self, run: Run) -> None:
        outcome = run(*set_({**REQUIRED, "seed": 8}))
        assert outcome.code == 4 and "not installed" in outcome.err and "Traceback" not in outcome.err
        assert outcome.stages_run == [] and outcome.stages_reused == []
        assert (run.directory / "bundle" / "manifest.json").is_file()  # the older one stands
        assert run(*set_({**REQUIRED, "seed": 8}), "--until", "data").code == 0  # so far nothing of it is needed


def test_required_without_a_gpu_ends_with_exit_4_before_anything_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    outcome = run(*set_({**REQUIRED, "seed": 8}))
    assert outcome.code == 4 and "torch finds none here" in outcome.err and outcome.stages_run == []
    with monkeypatch.context() as patch:
        stand_in(patch)
        assert run(*set_({**REQUIRED, "export.tensorrt.precision": "[fp32]"})).code == 0
    # What was proved elsewhere is proved.
    again = run(*set_({**REQUIRED, "export.tensorrt.precision": "[fp32]"}))
    assert again.code == 0 and again.stages_run == []


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("batch.max=32", {"export", "parity"}),
        ("compute_capabilities=['8.6']", {"export", "parity"}),
        ("workspace_mib=512", {"export", "parity"}),
        ("precision=[int8]", {"export", "parity"}),
        ("library=auto", {"export"}),
        ("when=required", {"parity"}),
    ],
)
def test_what_changes_a_plan_or_a_verdict_is_in_the_fingerprint(run: Run, change: str, stages: set[str]) -> None:
    before = load_recipe(run.recipe, [f"{key}={value}" for key, value in AVAILABLE.items()]).recipe
    after = load_recipe(
        run.recipe, [*(f"{key}={value}" for key, value in AVAILABLE.items()), f"export.tensorrt.{change}"]
    ).recipe
    changed = {stage.name for stage in STAGES if stage.parameters(before) != stage.parameters(after)}
    assert changed - {"bundle"} == stages - (
        {"parity"} if "precision" not in change and "when" not in change else set()
    )


def test_unrequested_engines_leave_no_trace(run: Run) -> None:
    plain, never = (load_recipe(run.recipe, changes).recipe for changes in ([], ["export.tensorrt.batch.max=32"]))
    assert plain.export.engines == () and plain.export.variants == ()
    assert [stage.name for stage in STAGES if stage.parameters(plain) != stage.parameters(never)] == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["batch.opt=65"], "export.tensorrt.batch.opt: expected"),
        (["precision=[]"], "expected one or more precisions"),
        (["precision=[fp16, fp16]"], "expected each once"),
        (
            ["library=tensorrt_rtx", "version_compatible=true"],
            "expected false for export.tensorrt.library tensorrt_rtx",
        ),
        (["library=tensorrt", "compute_capabilities=['8.9']"], "expected none for export.tensorrt.library tensorrt"),
        (["hardware_compatible=true", "compute_capabilities=['8.9']"], "no library has both"),
        (["compute_capabilities=['89']"], "expected a text such as '8.9'"),
    ],
)
def test_check_refuses_impossible_engine_settings(run: Run, changes: list[str], expected: str) -> None:
    outcome = run_command(
        "check", run.recipe, *(part for text in changes for part in ("--set", f"export.tensorrt.{text}"))
    )
    assert outcome.code == 2 and expected in outcome.err, outcome.err
