"""The fp32 file and its variants are made, written and described."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporters.artifacts.context import ArtifactContext
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.make import Variant, check_has_cam, check_metadata, make_fp32, make_variant, make_variants
from exporters.core.errors import GateError, UsageError
from exporters.onnx.cam import find_cam_source
from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
from exporters.quantize import Calibration
from exporters.runtimes import OnnxRuntime
from exporters.student.architectures import Architecture
from tests.exporters.conftest import Exported, make_student, random_images
from tests.exporters.graphs import converting_once

LENIENT = ParityGate(None, 0.5, 0.5)


def test_both_kinds_of_int8_cost_one_calibration(cifar: Exported, evidence: Evidence) -> None:
    asked: list[int] = []

    def images() -> Iterator[np.ndarray]:
        asked.append(1)
        return iter([random_images(16, 32, seed=9)])

    shared = Calibration(images)
    for name in ("int8", "int8.trt"):
        make_variant(name, cifar.data, cifar.entries, evidence, LENIENT, cifar.images, calibration=shared)
    assert len(asked) == 1


def test_a_variant_is_read_back_as_it_was_written(cifar: Exported, evidence: Evidence, tmp_path: Path) -> None:
    said, warned, trials = [], [], []
    context = ArtifactContext(
        evidence, cifar.images, DEFAULT_GATES, say=said.append, warn=warned.append, say_trial=trials.append
    )  # fmt: skip
    made = make_variants(["fp16"], cifar.data, cifar.entries, tmp_path, context)
    assert (tmp_path / "model.fp16.onnx").read_bytes() == made["fp16"].data and not warned
    assert said[0].startswith("model.fp16.onnx: ") and trials[1].startswith("  try 1 on 20 images")
    assert Variant.from_json("fp16", made["fp16"].to_json(), tmp_path) == made["fp16"] and evidence.on_result is None


def test_a_variant_that_cannot_be_made_is_reported(
    cifar: Exported, evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise GateError("planted")

    monkeypatch.setattr("exporters.artifacts.make.make_variant", fail)
    warned: list[str] = []
    context = ArtifactContext(evidence, cifar.images, DEFAULT_GATES, warn=warned.append)
    made = make_variants(["fp16"], cifar.data, cifar.entries, tmp_path, context)
    assert made["fp16"].to_json() == {"file": "model.fp16.onnx", "not_made": "planted"} and not [*tmp_path.iterdir()]
    assert warned == ["model.fp16.onnx could not be made: planted"]
    assert Variant.from_json("fp16", made["fp16"].to_json(), tmp_path) == made["fp16"]


def test_a_search_without_success_says_why(cifar: Exported, evidence: Evidence) -> None:
    impossible = ParityGate(1e-9, 1.0, 0.0)
    made = make_variant("fp16", cifar.data, cifar.entries, evidence, impossible, cifar.images)
    assert made.failures and "largest error" in made.failures[0]


def test_fp32_is_traced_to_the_student_and_carries_its_labels(cifar: Exported, tmp_path: Path) -> None:
    said: list[str] = []
    fp32 = make_fp32(cifar.student, tmp_path, 20, say=said.append)
    assert fp32.core == fp32.shipped == (tmp_path / "model.onnx").read_bytes() and fp32.opset == 20
    assert fp32.entries and f"all {len(fp32.entries)} tensors come from the trained model" in said[0]
    check_metadata("model.onnx", fp32.shipped, cifar.student)
    any_size = make_fp32(cifar.student, tmp_path, 20, any_size=True)
    assert len(any_size.core) < len(any_size.shipped) and any_size.core_entries
    assert fp32.cam is None and fp32.base == (fp32.core, fp32.core_entries)


def test_file_with_maps_is_the_file_without_them_and_a_few_nodes_more(cifar: Exported, tmp_path: Path) -> None:
    with converting_once():
        fp32 = make_fp32(cifar.student, tmp_path, 20, cam=True)
        every = make_fp32(cifar.student, tmp_path, 20, cam=True, any_size=True)
    assert fp32.plain == cifar.data and fp32.plain_entries == cifar.entries  # what is exported without them
    assert fp32.core == fp32.shipped and OnnxRuntime(fp32.shipped).map_size == (8, 8)
    assert fp32.operators["ArgMax"] == 1 and "ArgMax" not in cifar.export.operators
    assert fp32.entries[: len(cifar.entries)] == cifar.entries
    assert every.plain_entries == fp32.plain_entries and OnnxRuntime(every.core).map_size == (8, 8)
    found = OnnxRuntime(every.shipped, threads=1).explain(np.pad(cifar.images, ((0, 0), (2, 2), (2, 2), (0, 0))))
    assert found.cam.shape == (20, 8, 8)


def test_variants_get_the_map_too_and_are_explained(cifar: Exported, evidence: Evidence) -> None:
    source = find_cam_source(cifar.data)
    calibration = Calibration(lambda: iter([random_images(16, 32, seed=9)]))
    for name in VARIANT_KINDS:
        plain, made = (
            make_variant(
                name, cifar.data, cifar.entries, evidence, LENIENT, cifar.images, calibration=calibration, cam=cam
            )
            for cam in (None, source)
        )
        assert plain.operators.get("ArgMax", 0) == 0 and made.operators["ArgMax"] == 1
        assert made.kept_float == plain.kept_float and len(made.initializers) > len(plain.initializers)
        assert OnnxRuntime(made.data).map_size == (8, 8)


def test_student_without_maps_is_refused_by_name(tmp_path: Path) -> None:
    student = make_student(tmp_path, Architecture("test_convnext", "timm"), 64)
    with pytest.raises(UsageError, match="test_convnext has no class activation maps"):
        check_has_cam(student)
