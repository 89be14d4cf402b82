"""Variants are made, written and described."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporters.artifacts.context import ArtifactContext
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.variants import Variant, make_variant, make_variants
from exporters.core.errors import GateError
from exporters.onnx.cam import find_cam_source
from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
from exporters.quantize import Calibration
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported, random_images

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

    monkeypatch.setattr("exporters.artifacts.variants.make_variant", fail)
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
