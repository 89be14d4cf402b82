"""Variants are made of the fp32 file, judged on all images, and kept for a reason."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from exporters.artifacts.variants import VARIANTS, make_variant, prove_variant
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import read_onnx
from exporters.parity import Evidence, ParityGate
from exporters.quantize import Calibration
from exporters.runtimes import TorchRuntime
from tests.exporters.conftest import Exported, random_images
from tests.exporters.onnx.planting import overflowing

LENIENT = ParityGate(None, 0.5, 0.5)
GATES = {"fp16": ParityGate(1e-2, 0.95, 0.05), "int8": LENIENT, "int8.trt": LENIENT}


def evidence_of(exported: Exported) -> Evidence:
    names = [f"image{index}.jpg" for index in range(len(exported.images))]
    batches = [(exported.images, exported.logits.argmax(axis=1), names)]
    return Evidence(TorchRuntime(exported.student), lambda: batches, part=8)


def entries_of(data: bytes) -> list[dict[str, Any]]:
    """As an audit would list a file that nobody has audited."""
    tensors = read_onnx(data).tensors
    keys = ("name", "dtype", "sha256")
    return [
        {**{key: getattr(value, key) for key in keys}, "dims": list(value.dims), "origin": "own"} for value in tensors
    ]


def calibration() -> Calibration:
    return Calibration(lambda: iter([random_images(16, 32, seed=9)]))


@pytest.mark.parametrize("name", list(VARIANTS))
def test_from_the_fp32_file_to_a_verdict(cifar: Exported, name: str) -> None:
    evidence, gate = evidence_of(cifar), GATES[name]
    made = make_variant(name, cifar.data, cifar.entries, evidence, gate, cifar.images, calibration=calibration())
    assert made.file == VARIANTS[name].file and made.trials >= 1
    assert len(made.data) < 0.7 * len(cifar.data)
    described = made.to_json()
    assert [entry["name"] for entry in described["initializers"]] and described["operators"]["Conv"] > 0
    model = onnx.load_from_string(made.data)
    nodes = {node.name for node in model.graph.node}
    assert set(made.kept_float) <= nodes
    verdict = prove_variant(name, made.data, cifar.data, evidence, gate, cifar.images, keep_all=True)
    assert verdict.status == "shipped" and verdict.report is not None and verdict.report.passed
    assert verdict.to_json()["status"] == "shipped"
    if VARIANTS[name].for_engine:
        assert verdict.speed is None and "all that passes was asked for" in verdict.reason
    else:
        assert verdict.speed is not None and set(verdict.speed["runtimes"]) == {"fp32", name}
        assert "times as fast as fp32" in verdict.reason
    again = make_variant(name, cifar.data, cifar.entries, evidence, gate, cifar.images, calibration=calibration())
    assert again == made


def test_what_is_for_an_engine_alone_waits_for_it_and_is_not_timed(
    cifar: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.artifacts.variants.measure", None)
    evidence, gate = evidence_of(cifar), ParityGate(1e-4, 0.999, 0.001)
    for name, for_engine in (("int8.trt", False), ("fp16", True)):
        # The file itself is a variant that passes whatever is asked of it.
        verdict = prove_variant(name, cifar.data, cifar.data, evidence, gate, cifar.images, for_engine=for_engine)
        assert verdict.status == "not shipped" and "only for the engine" in verdict.reason
        assert verdict.report is not None and verdict.report.passed


def test_both_kinds_of_int8_cost_one_calibration(cifar: Exported) -> None:
    asked: list[int] = []

    def images() -> Iterator[np.ndarray]:
        asked.append(1)
        return iter([random_images(16, 32, seed=9)])

    shared = Calibration(images)
    for name in ("int8", "int8.trt"):
        make_variant(name, cifar.data, cifar.entries, evidence_of(cifar), LENIENT, cifar.images, calibration=shared)
    assert len(asked) == 1


def test_what_pays_ships_and_what_does_not_stays(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, gate = evidence_of(cifar), ParityGate(1e-4, 0.999, 0.001)
    for useful, status in ((True, "shipped"), (False, "not useful")):
        monkeypatch.setattr(
            "exporters.artifacts.variants.is_useful", lambda *_figures, told=useful: (told, "as it was planted")
        )
        # The file itself is a variant that passes whatever is asked of it.
        verdict = prove_variant("int8", cifar.data, cifar.data, evidence, gate, cifar.images)
        assert verdict.status == status and verdict.reason.startswith("as it was planted")


def test_a_rejected_one_names_the_first_node_that_deviates(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][3]
    (weight,) = [value for value in model.graph.initializer if value.name == convolution.input[1]]
    changed = onnx.numpy_helper.to_array(weight).copy()
    changed *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    verdict = prove_variant(
        "int8", model.SerializeToString(), cifar.data, evidence_of(cifar), ParityGate(1e-3, 1.0, 0.0), cifar.images
    )
    assert verdict.status == "rejected" and verdict.speed is None
    assert verdict.deviation is not None and verdict.deviation["node"] == convolution.name
    assert convolution.name in verdict.reason and "largest error" in verdict.reason


def test_a_file_that_does_not_load_is_rejected(cifar: Exported) -> None:
    verdict = prove_variant("int8", b"no model", cifar.data, evidence_of(cifar), GATES["int8"], cifar.images)
    assert verdict.status == "rejected" and verdict.report is None
    assert verdict.to_json()["passed"] is False and verdict.to_json()["failures"] == [verdict.reason]


def test_an_overflow_that_a_cpu_does_not_show_is_rejected(cifar: Exported) -> None:
    """One layer times 1e5 and the next by 1e-5: right in fp32, and in an fp16 file on ONNX Runtime's CPU provider."""
    planted, _, _ = overflowing(cifar.data)
    gate = GATES["fp16"]
    verdict = prove_variant("fp16", to_fp16(planted), planted, evidence_of(cifar), gate, cifar.images)
    assert verdict.status == "rejected" and "as its target computes it" in verdict.reason
    made = make_variant("fp16", planted, entries_of(planted), evidence_of(cifar), gate, cifar.images)
    assert 0 < len(made.kept_float) <= 6
