"""ONNX files and engines are judged on all images, and kept for a reason."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from exporters.artifacts.context import ArtifactContext
from exporters.artifacts.decide import unmet_engines
from exporters.artifacts.engines import MadeEngine, build_engines, check_machine
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.prove import prove_artifacts, prove_engine, prove_fp32, prove_variant
from exporters.artifacts.status import Status
from exporters.artifacts.variants import Variant, make_variant
from exporters.bundle.manifest import ENGINE_SOURCES
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.fp16.convert import to_fp16
from exporters.onnx.cam import find_cam_source, with_cam
from exporters.onnx.reader import read_onnx
from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
from exporters.quantize import Calibration
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.tensorrt import find
from exporters.tensorrt.gpu import current_gpu
from tests.exporters.artifacts.conftest import SETTINGS
from tests.exporters.conftest import Exported, random_images
from tests.exporters.engine_runtime import GPU, stand_in
from tests.exporters.onnx.planting import convolutions, overflowing, scale, weights_of

GATE = ParityGate(None, 0.5, 0.5)
LENIENT = ParityGate(None, 0.5, 0.5)
GATES = {"fp16": ParityGate(1e-2, 0.95, 0.05), "int8": LENIENT, "int8.trt": LENIENT}


def entries_of(data: bytes) -> list[dict[str, Any]]:
    """As an audit would list a file that nobody has audited."""
    tensors = read_onnx(data).tensors
    keys = ("name", "dtype", "sha256")
    return [
        {**{key: getattr(value, key) for key in keys}, "dims": list(value.dims), "origin": "own"} for value in tensors
    ]


def calibration() -> Calibration:
    return Calibration(lambda: iter([random_images(16, 32, seed=9)]))


@pytest.mark.parametrize("name", list(VARIANT_KINDS))
def test_variant_of_the_fp32_file_is_made_and_proved(cifar: Exported, evidence: Evidence, name: str) -> None:
    gate = GATES[name]
    made = make_variant(name, cifar.data, cifar.entries, evidence, gate, cifar.images, calibration=calibration())
    assert made.file == VARIANT_KINDS[name].file and made.trials >= 1
    assert len(made.data) < 0.7 * len(cifar.data)
    described = made.to_json()
    assert [entry["name"] for entry in described["initializers"]] and described["operators"]["Conv"] > 0
    model = onnx.load_from_string(made.data)
    nodes = {node.name for node in model.graph.node}
    assert set(made.kept_float) <= nodes
    verdict = prove_variant(name, made.data, cifar.data, evidence, gate, cifar.images, keep_all=True)
    assert verdict.status == "shipped" and verdict.report is not None and verdict.report.passed
    assert verdict.to_json()["status"] == "shipped"
    if VARIANT_KINDS[name].for_engine:
        assert verdict.speed is None and "all that passes was asked for" in verdict.reason
    else:
        assert verdict.speed is not None and set(verdict.speed["runtimes"]) == {"fp32", name}
        assert "times as fast as fp32" in verdict.reason
    again = make_variant(name, cifar.data, cifar.entries, evidence, gate, cifar.images, calibration=calibration())
    assert again == made


def test_file_only_for_an_engine_is_neither_timed_nor_shipped(
    cifar: Exported, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.artifacts.prove.measure", None)
    gate = ParityGate(1e-4, 0.999, 0.001)
    for name, for_engine in (("int8.trt", False), ("fp16", True)):
        # The file itself is a variant that passes whatever is asked of it.
        verdict = prove_variant(name, cifar.data, cifar.data, evidence, gate, cifar.images, for_engine=for_engine)
        assert verdict.status == "not shipped" and "only for the engine" in verdict.reason
        assert verdict.report is not None and verdict.report.passed


def test_variant_ships_only_if_useful(cifar: Exported, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ParityGate(1e-4, 0.999, 0.001)
    for useful, status in ((True, "shipped"), (False, "not useful")):
        monkeypatch.setattr(
            "exporters.artifacts.prove.is_useful", lambda *_figures, result=useful: (result, "as it was planted")
        )
        # The file itself is a variant that passes whatever is asked of it.
        verdict = prove_variant("int8", cifar.data, cifar.data, evidence, gate, cifar.images)
        assert verdict.status == status and verdict.reason.startswith("as it was planted")


def test_rejected_variant_names_the_first_node_that_deviates(cifar: Exported, evidence: Evidence) -> None:
    model = onnx.load_from_string(cifar.data)
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][3]
    (weight,) = [value for value in model.graph.initializer if value.name == convolution.input[1]]
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    verdict = prove_variant(
        "int8", model.SerializeToString(), cifar.data, evidence, ParityGate(1e-3, 1.0, 0.0), cifar.images
    )
    assert verdict.status == "rejected" and verdict.speed is None
    assert verdict.deviation is not None and verdict.deviation["node"] == convolution.name
    assert convolution.name in verdict.reason and "largest error" in verdict.reason


def test_a_file_that_does_not_load_is_rejected(cifar: Exported, evidence: Evidence) -> None:
    verdict = prove_variant("int8", b"no model", cifar.data, evidence, GATES["int8"], cifar.images)
    assert verdict.status == "rejected" and verdict.report is None
    assert verdict.to_json()["passed"] is False and verdict.to_json()["failures"] == [verdict.reason]


def test_an_overflow_that_a_cpu_does_not_show_is_rejected(cifar: Exported, evidence: Evidence) -> None:
    """One layer times 1e5, the next times 1e-5: right in fp32, and in fp16 on ONNX Runtime's CPU provider."""
    planted, _, _ = overflowing(cifar.data)
    gate = GATES["fp16"]
    verdict = prove_variant("fp16", to_fp16(planted), planted, evidence, gate, cifar.images)
    assert verdict.status == "rejected" and "as its target computes it" in verdict.reason
    made = make_variant("fp16", planted, entries_of(planted), evidence, gate, cifar.images)
    assert 0 < len(made.kept_float) <= 6


@pytest.mark.parametrize("precision", list(ENGINE_SOURCES))
def test_engine_that_passes_on_a_gpu_ships(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence, precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stand_in(monkeypatch)
    gate = GATE if precision == "int8" else DEFAULT_GATES[precision]
    folder = models[precision].parent / "engines"
    verdict = prove_engine(made[precision], folder, models[precision], evidence, gate)
    assert (verdict.status, verdict.gpu) == ("shipped", GPU.name) and unmet_engines([verdict]) is None
    described = verdict.to_json()
    assert (
        described["passed"] is True and described["whole"]["images"] == 20 and set(described["batches"]) == {"1", "7"}
    )
    assert (described["file"], described["source"]) == (made[precision].file, models[precision].name)


def test_engine_with_other_answers_is_rejected(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, error=0.5)
    verdict = prove_engine(
        made["fp32"], models["fp32"].parent / "engines", models["fp32"], evidence, DEFAULT_GATES["fp32"]
    )
    assert verdict.status == "rejected" and "largest error" in verdict.reason and verdict.to_json()["passed"] is False
    ends = unmet_engines([verdict])
    assert isinstance(ends, GateError) and "model.plan" in ends.message


def test_without_a_gpu_nothing_is_proved(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence
) -> None:
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    verdict = prove_engine(made["fp16"], models["fp16"].parent / "engines", models["fp16"], evidence, GATE)
    assert verdict.status == "not proved" and "torch finds none here" in verdict.reason
    described = verdict.to_json()
    assert described["passed"] is False and described["gpu"] is None and described["failures"] == [verdict.reason]
    assert isinstance(unmet_engines([verdict]), UnavailableError)


def test_a_stale_or_damaged_engine_is_never_loaded(
    made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_arguments: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("exporters.runtimes.tensorrt.TensorRTRuntime", never)
    folder = shutil.copytree(models["fp32"].parent / "engines", tmp_path / "engines")
    with pytest.raises(GateError, match="stale"):
        prove_engine(made["fp32"], folder, models["fp16"], evidence, GATE)
    (folder / "model.plan").write_bytes((folder / "model.plan").read_bytes()[:-1] + b"?")
    with pytest.raises(GateError, match="sha256"):
        prove_engine(made["fp32"], folder, models["fp32"], evidence, GATE)
    (folder / "model.fp16.plan.json").write_text("{}")
    with pytest.raises(GateError, match="not a sidecar"):
        prove_engine(made["fp16"], folder, models["fp16"], evidence, GATE)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", list(ENGINE_SOURCES))
def test_engines_pass_on_this_gpu(
    models: Mapping[str, Path], evidence: Evidence, precision: str, tmp_path: Path
) -> None:
    try:
        check_machine(SETTINGS)
    except UnavailableError as error:
        pytest.skip(error.message)
    library = find()
    made = build_engines([precision], models, tmp_path, SETTINGS, library=library.name, required=True)
    verdict = prove_engine(made[precision], tmp_path, models[precision], evidence, DEFAULT_GATES[precision])
    assert verdict.status == "shipped", verdict.reason


def test_an_engine_of_a_rejected_file_is_rejected_and_never_loaded(
    cifar: Exported, made: Mapping[str, MadeEngine], models: Mapping[str, Path], evidence: Evidence,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_arguments: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("exporters.runtimes.tensorrt.TensorRTRuntime", never)
    gates = {**DEFAULT_GATES, "fp16": ParityGate(1e-9, 1.0, 0.0)}
    context = ArtifactContext(evidence, cifar.images, gates, requested=["fp16"])
    variant = Variant("fp16", models["fp16"].read_bytes())
    verdicts = prove_artifacts({"fp16": variant}, {"fp16": made["fp16"]}, models["fp32"].parent, context)
    assert verdicts.variants["fp16"].status is verdicts.engines["fp16"].status is Status.REJECTED
    assert verdicts.engines["fp16"].reason == "model.fp16.onnx, which it is built from, was rejected"


def test_fp32_is_held_to_its_gate_and_to_what_a_bundle_may_hold(cifar: Exported, evidence: Evidence) -> None:
    lines: list[str] = []
    context = ArtifactContext(evidence, cifar.images, DEFAULT_GATES, say=lines.append)
    report, failure = prove_fp32(cifar.data, context)
    assert report.passed and failure == "" and lines[0].startswith("model.onnx on 20 images: top-1 agreement 100")
    model = onnx.load_from_string(cifar.data)
    scale(weights_of(model, convolutions(model)[1])[0], 1.5)
    report, failure = prove_fp32(model.SerializeToString(), context)
    assert not report.passed and failure.startswith("model.onnx is not the student: ")
    lenient = ArtifactContext(evidence, cifar.images, {"fp32": ParityGate(9.0, 0.0, 1.0)})
    report, failure = prove_fp32(model.SerializeToString(), lenient)
    assert report.passed and failure.startswith("model.onnx passes parity.fp32 and cannot ship: ")


def with_maps(cifar: Exported) -> Evidence:
    batches = [(cifar.images, cifar.logits.argmax(axis=1), [f"image{index}.jpg" for index in range(len(cifar.images))])]
    return Evidence(TorchRuntime(cifar.student), lambda: batches, part=8, maps=True)


def planted_rows(data: bytes) -> bytes:
    """The map's row is that of the next class: the index of the largest logit is off by one, modulo the classes."""
    model = onnx.load_from_string(data)
    graph = model.graph
    position = next(index for index, node in enumerate(graph.node) if node.op_type == "ArgMax")
    graph.initializer.append(onnx.numpy_helper.from_array(np.roll(np.arange(7), -1), "permutation"))
    graph.node[position].output[0] = "answer"
    graph.node.insert(position + 1, onnx.helper.make_node("Gather", ["permutation", "answer"], ["cam_class"], "other"))
    planted: bytes = model.SerializeToString()
    return planted


def test_maps_are_proved_with_the_logits(cifar: Exported) -> None:
    evidence = with_maps(cifar)
    context = ArtifactContext(evidence, cifar.images[:8], DEFAULT_GATES)
    data = with_cam(cifar.data, find_cam_source(cifar.data)).data
    report, failure = prove_fp32(data, context)
    told = report.to_json()["cam"]
    assert failure == "" and report.passed and told["failures"] == []
    assert told["whole"]["compared"] == 20 and 0 <= told["whole"]["max_scaled_error"] < 1e-5
    assert set(told["batches"]) == {"1", "7"} and told["batches"]["7"]["images"] == 8


@pytest.mark.parametrize("name", ["fp32", *VARIANT_KINDS])
def test_map_of_permuted_classifier_rows_is_refused(cifar: Exported, name: str) -> None:
    evidence, source = with_maps(cifar), find_cam_source(cifar.data)
    if name == "fp32":
        planted = planted_rows(with_cam(cifar.data, source).data)
        report, failure = prove_fp32(planted, ArtifactContext(evidence, cifar.images[:8], DEFAULT_GATES))
        assert not report.passed and "model.onnx is not the student: class activation maps: largest error" in failure
        return
    made = make_variant(
        name, cifar.data, cifar.entries, evidence, GATES[name], cifar.images, calibration=calibration(), cam=source
    )
    verdicts = [
        prove_variant(name, data, cifar.data, evidence, GATES[name], cifar.images[:8], keep_all=True, for_engine=True)
        for data in (made.data, planted_rows(made.data))
    ]
    assert [verdict.status for verdict in verdicts] == [Status.SHIPPED, Status.REJECTED]
    assert "class activation maps: " in verdicts[1].reason


def test_file_without_maps_cannot_be_proved_where_they_are_asked_for(cifar: Exported) -> None:
    with pytest.raises(UsageError, match="the model gives no class activation maps"):
        with_maps(cifar).report(OnnxRuntime(cifar.data), GATE)
