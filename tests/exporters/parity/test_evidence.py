import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from exporters.core.errors import UsageError
from exporters.parity import Answer, Evidence, ParityGate
from exporters.runtimes import OnnxRuntime, Runtime, TorchRuntime
from tests.exporters.conftest import Exported

GATE = ParityGate(1e-4, 0.999, 0.001)
NAMES = [f"image{index}.jpg" for index in range(1000)]


class Fixed:
    """A runtime whose images are their own answers, remembering the batches it was asked for."""

    def __init__(self, change: float = 0.0) -> None:
        self.change = change
        self.batches: list[int] = []

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        return images.reshape(len(images), -1)[:, :7].astype(np.float32) + self.change


def test_all_images_run_once_and_a_part_in_small_batches() -> None:
    images = np.random.default_rng(0).integers(0, 255, (50, 2, 2, 3), np.uint8)
    batches = [(images[start : start + 16], None, NAMES[start : min(start + 16, 50)]) for start in range(0, 50, 16)]
    reference, candidate = Fixed(), Fixed()
    report = Evidence(reference, lambda: batches, part=20, part_batches=(1, 7)).report(candidate, GATE)
    assert report.passed
    assert reference.batches == [16, 16, 16, 2]
    assert candidate.batches == [16, 16, 16, 2] + [1] * 20 + [7, 7, 6]
    assert (report.whole.images, report.parts[1].images, report.parts[7].images) == (50, 20, 20)
    assert json.loads(json.dumps(report.to_json()))["batches"]["7"]["images"] == 20


def test_a_fault_of_small_batches_is_found() -> None:
    class WrongAlone(Fixed):
        def predict(self, images: np.ndarray) -> np.ndarray:
            return super().predict(images) + (9 if len(images) == 1 else 0)

    images = np.random.default_rng(0).integers(0, 255, (20, 2, 2, 3), np.uint8)
    report = Evidence(Fixed(), lambda: [(images, np.zeros(20), NAMES[:20])]).report(WrongAlone(), GATE)
    assert report.failures
    assert all(failure.startswith("at batch 1:") for failure in report.failures)
    with pytest.raises(UsageError, match="no images"):
        Evidence(Fixed(), list).report(Fixed(), GATE)


def failures_against(exported: Exported, candidate: TorchRuntime | OnnxRuntime) -> list[str]:
    names = NAMES[: len(exported.images)]
    batches = [(exported.images, exported.logits.argmax(axis=1), names)]
    return Evidence(TorchRuntime(exported.student), lambda: batches, part=8).report(candidate, GATE).failures


def test_exports_pass(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        assert failures_against(exported, OnnxRuntime(exported.data)) == []


@pytest.mark.parametrize("fault", ["one weight", "normalisation", "channels", "train mode"])
def test_planted_faults_fail(cifar: Exported, fault: str) -> None:
    import copy

    module = copy.deepcopy(cifar.student.module)
    student = dataclasses.replace(cifar.student, module=module)
    runtime = TorchRuntime(student)
    if fault == "one weight":
        with torch.no_grad():
            module.get_parameter("layer1.0.conv1.weight")[0, 0, 0, 0] += 0.05
    elif fault == "normalisation":
        plain = dataclasses.replace(student.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        runtime = TorchRuntime(dataclasses.replace(student, preprocessing=plain))
    elif fault == "channels":
        with torch.no_grad():
            weight = module.get_parameter("conv1.weight")
            weight.copy_(weight.flip(1))
    else:
        module.get_submodule("bn1").train()
    assert failures_against(cifar, runtime)


def test_the_reference_answers_once_for_all_candidates() -> None:
    images = np.random.default_rng(0).integers(0, 255, (30, 2, 2, 3), np.uint8)
    batches = [(images[start : start + 16], None, NAMES[start : min(start + 16, 30)]) for start in (0, 16)]
    reference = Fixed()
    evidence = Evidence(reference, lambda: batches, part=5, part_batches=(2,))
    assert evidence.compare(Fixed()).differing == 0
    shifted = evidence.report(Fixed(change=50.0), GATE)
    assert reference.batches == [16, 14]
    assert shifted.whole.max_scaled_error == pytest.approx(50 / shifted.whole.scale)
    assert shifted == Evidence(Fixed(), lambda: batches, part=5, part_batches=(2,)).report(Fixed(change=50.0), GATE)


def test_a_candidate_that_fails_leaves_the_evidence_whole() -> None:
    class Breaks(Fixed):
        def predict(self, images: np.ndarray) -> np.ndarray:
            if self.batches:
                raise RuntimeError("no more")
            return super().predict(images)

    images = np.random.default_rng(0).integers(0, 255, (30, 2, 2, 3), np.uint8)
    batches = [(images[start : start + 16], None, NAMES[start : min(start + 16, 30)]) for start in (0, 16)]
    evidence = Evidence(Fixed(), lambda: batches)
    with pytest.raises(RuntimeError):
        evidence.compare(Breaks())
    assert evidence.compare(Fixed()).images == 30


def test_answers_of_several_processes_give_the_same_reports() -> None:
    """Asked together, the reference answers with the first candidate; runtimes that others cannot run answer here."""
    images = np.random.default_rng(0).integers(0, 255, (30, 2, 2, 3), np.uint8)
    labels = np.arange(30) % 7
    places = [slice(0, 16), slice(16, 30)]
    batches = [(images[place], labels[place], NAMES[place]) for place in places]
    asked: list[int] = []

    def together(runtimes: Sequence[Runtime]) -> list[Answer] | None:
        asked.append(len(runtimes))
        if isinstance(runtimes[-1], Alone):
            return None
        return [(labels, names, [each.predict(shown) for each in runtimes]) for shown, labels, names in batches]

    class Alone(Fixed):
        pass

    shared = Evidence(Fixed(), lambda: batches, part=20, part_batches=(7,), ask_together=together)
    alone = Evidence(Fixed(), lambda: batches, part=20, part_batches=(7,))
    for candidate in (Fixed(change=3.0), Fixed(change=-1.0), Alone(change=2.0)):
        assert shared.report(candidate, GATE) == alone.report(candidate, GATE)
        assert shared.failures(candidate, GATE) == alone.failures(candidate, GATE)
    assert asked == [2, 1, 1, 1, 1, 1]
    first = Evidence(Fixed(), lambda: batches, part=20, part_batches=(7,), ask_together=together)
    assert first.report(Alone(change=2.0), GATE) == alone.report(Alone(change=2.0), GATE)
