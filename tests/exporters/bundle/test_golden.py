"""The tolerance of a bundle's golden vectors follows from the gate that was applied, within a fixed cap."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.bundle.contents import BundleContents
from exporters.bundle.golden import beyond_bundle, golden_tolerance
from exporters.bundle.manifest import GOLDEN_LIMITS
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError
from exporters.core.files import dump_json
from exporters.parity import Evidence, ParityGate
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported
from tests.exporters.forging import failure, resealed


class Shifted:
    """A reference that differs from a runtime by a share of the logits' scale, in one logit."""

    provider = "cpu"

    def __init__(self, runtime: OnnxRuntime, shift: float) -> None:
        self._runtime, self._shift = runtime, shift

    def predict(self, images: np.ndarray) -> np.ndarray:
        logits = self._runtime.predict(images)
        logits[:, -1] += self._shift
        return logits


def report(bound: float | None, measured: float = 1e-6, scale: float = 10.0) -> dict[str, Any]:
    return {
        "passed": True,
        "gate": {"max_scaled_error": bound},
        "whole": {"max_scaled_error": measured, "scale": scale},
    }


LOGITS = np.array([[10.0, -3.0], [1.0, 2.0]], np.float32)


@pytest.mark.parametrize(
    ("precision", "found", "logits", "expected"),
    [
        ("fp32", report(1e-4), LOGITS, 1e-4),
        ("fp32", report(5e-4), LOGITS, 5e-4),
        ("fp32", report(1e9), LOGITS, GOLDEN_LIMITS["fp32"]),
        ("fp32", report(1e-4, scale=30.0), LOGITS, 3e-4),  # the same logit, against a third of the scale
        ("fp32", report(1e-4, scale=5.0), LOGITS, 1e-4),
        ("fp16", report(1e-2), LOGITS, 1e-2),
        ("int8", report(None, measured=0.001), LOGITS, 0.02),
        ("int8", report(None, measured=0.1), LOGITS, 0.2),
        ("int8", report(None, measured=0.4), LOGITS, GOLDEN_LIMITS["int8"]),
        ("fp32", report(1e-4), np.zeros_like(LOGITS), 1e-3),
    ],
)
def test_tolerance_follows_from_the_gate(
    precision: str, found: dict[str, Any], logits: np.ndarray, expected: float
) -> None:
    assert golden_tolerance(precision, found, logits) == pytest.approx(expected)


def loosened(contents: BundleContents, cifar: Exported, bound: float, shift: float) -> BundleContents:
    """The contents of a bundle whose student differs from its file by `shift` and passed a gate of `bound`."""
    candidate = OnnxRuntime(cifar.export.path, threads=1)
    scale = float(np.abs(cifar.logits).max())
    reference = Shifted(candidate, shift * scale)
    names = [str(index) for index in range(len(cifar.images))]
    batches = [(cifar.images, cifar.logits.argmax(axis=1), names)]
    proof = Evidence(reference, lambda: batches, part=8).report(candidate, ParityGate(bound, 0.9, 0.1))
    golden = reference.predict(contents.golden_images)
    return dataclasses.replace(contents, golden_logits=golden, parity={"fp32": proof.to_json()})


def test_loosened_gate_that_passed_also_packs_and_verifies(
    contents: BundleContents, cifar: Exported, tmp_path: Path
) -> None:
    manifest = pack(loosened(contents, cifar, 5e-4, 3e-4), tmp_path / "bundle")
    tolerance = manifest["models"]["model.onnx"]["golden_tolerance"]
    assert 5e-4 <= tolerance <= GOLDEN_LIMITS["fp32"]
    assert 3e-4 <= verify_bundle(tmp_path / "bundle").golden_errors["model.onnx"] <= tolerance
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert f"| model.onnx | {tolerance:.4g} | 0.0005 | 0.001 |" in card


def test_no_gate_allows_more_than_the_cap(contents: BundleContents, cifar: Exported, tmp_path: Path) -> None:
    beyond = loosened(contents, cifar, 1e9, 5e-3)
    with pytest.raises(GateError, match=r"does not reproduce golden/outputs\.npz .* allowed 0\.001"):
        pack(beyond, tmp_path / "bundle")
    served = OnnxRuntime(cifar.export.path, threads=1).predict
    vectors = (beyond.golden_images, beyond.golden_logits)
    problem = beyond_bundle("fp32", beyond.parity["fp32"], served, *vectors)
    assert problem is not None and "no gate allows a bundle more than 0.001 in fp32" in problem
    assert (
        beyond_bundle("fp32", contents.parity["fp32"], served, contents.golden_images, contents.golden_logits) is None
    )


@pytest.fixture
def bundle(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


@pytest.mark.parametrize("tolerance", [9e-4, 0.5, 1e9])
def test_manifest_cannot_raise_its_tolerance(bundle: Path, tolerance: float) -> None:
    resealed(bundle, lambda manifest: manifest["models"]["model.onnx"].update(golden_tolerance=tolerance))
    message = failure(bundle)
    assert "model.onnx" in message and (
        "golden_tolerance" in message or "the gate that parity.json tells of" in message
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda parity: parity.clear(), r"parity\.json: has no proof of model\.onnx"),
        (lambda parity: parity.update(fp32=[]), "has no proof"),
        (lambda parity: parity["fp32"].update(whole=None), "has no proof"),
        (lambda parity: parity["fp32"].update(gate={}), "has no proof"),
        (lambda parity: parity["fp32"]["gate"].update(max_scaled_error="1"), "has no proof"),
        (lambda parity: parity["fp32"]["whole"].update(scale=10**400), "has no proof"),
        (lambda parity: parity["fp32"].update(passed=False), "did not pass"),
        (lambda parity: parity["fp32"]["gate"].update(max_scaled_error=1e-9), "the manifest allows"),
    ],
)
def test_parity_report_that_does_not_justify_the_tolerance_is_refused(
    bundle: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    parity = json.loads((bundle / "parity.json").read_text())
    change(parity)
    (bundle / "parity.json").write_text(dump_json(parity))
    resealed(bundle)
    with pytest.raises(GateError, match=told):
        verify_bundle(bundle)
