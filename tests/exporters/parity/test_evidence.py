import dataclasses
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from exporters.core.errors import UsageError
from exporters.parity import Answer, Batch, Evidence, MapMeter, ParityGate, compare, judge, judge_maps
from exporters.parity.maps import report_maps
from exporters.runtimes import Explained, OnnxRuntime, Runtime, TorchRuntime
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


class Mapped(Fixed):
    """With class activation maps, the first colour of each image, remembering the batches that they were asked for."""

    def __init__(self, change: float = 0.0, change_of_maps: float = 0.0) -> None:
        super().__init__(change)
        self.change_of_maps = change_of_maps
        self.explained: list[int] = []

    def explain(self, images: np.ndarray) -> Explained:
        self.explained.append(len(images))
        return Explained(
            images.reshape(len(images), -1)[:, :7].astype(np.float32) + self.change,
            images[..., 0].astype(np.float32) + self.change_of_maps,
        )


def in_batches(count: int, size: int, *, labels: bool = True) -> list[Batch]:
    images = np.random.default_rng(0).integers(0, 255, (count, 2, 2, 3), np.uint8)
    truth = images.reshape(count, -1)[:, :7].argmax(axis=1)
    places = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    return [(images[place], truth[place] if labels else None, NAMES[place]) for place in places]


def joined(batches: list[Batch], index: int) -> np.ndarray:
    return np.concatenate([batch[index] for batch in batches])


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


class Reversed(Fixed):
    """Answers the opposite, but for images that come alone."""

    def __init__(self, smallest: int = 1) -> None:
        super().__init__()
        self.smallest = smallest

    def predict(self, images: np.ndarray) -> np.ndarray:
        return super().predict(images) * (-1 if len(images) > self.smallest else 1)


def test_labels_count_in_the_whole_and_in_each_part() -> None:
    batches = in_batches(30, 16)
    images, labels = joined(batches, 0), joined(batches, 1)
    logits = Fixed().predict(images)
    report = Evidence(Fixed(), lambda: batches, part=20, part_batches=(1, 7)).report(Reversed(), GATE)
    assert report.whole == compare(logits, -logits, labels, NAMES[:30])
    expected = np.concatenate([-logits[:14], -logits[14:20]])
    assert report.parts == {
        1: compare(logits[:20], logits[:20], labels[:20], NAMES[:20]),
        7: compare(logits[:20], expected, labels[:20], NAMES[:20]),
    }
    assert report.failures == [*judge(report.whole, GATE), *(f"at batch 7: {f}" for f in judge(report.parts[7], GATE))]
    assert any(line.startswith("at batch 7: top-1 accuracy drops by 1") for line in report.failures)
    assert not report.passed


def test_report_as_json() -> None:
    batches = in_batches(8, 8)
    report = Evidence(Fixed(), lambda: batches, part=4, part_batches=(3,)).report(Fixed(change=1.0), GATE)
    assert json.loads(json.dumps(report.to_json())) == json.loads(
        json.dumps(
            {
                "gate": {"max_scaled_error": 1e-4, "min_agreement": 0.999, "max_accuracy_drop": 0.001},
                "passed": False,
                "failures": report.failures,
                "whole": report.whole.to_json(),
                "batches": {"3": report.parts[3].to_json()},
            }
        )
    )


@pytest.mark.parametrize(("size", "read"), [(10, 1), (9, 2), (4, 3), (20, 1)])
def test_no_more_is_read_than_the_first_images_need(size: int, read: int) -> None:
    passes: list[int] = []

    def batches() -> Iterator[Batch]:
        passes.append(0)
        for batch in in_batches(30, size, labels=False):
            passes[-1] += 1
            yield batch

    evidence = Evidence(Fixed(), batches, part=10, part_batches=(4,))
    report = evidence.report(Fixed(), GATE)
    assert passes[1] == read
    assert report.parts[4].images == 10 and report.parts[4].reference_accuracy is None
    evidence.report(Fixed(), GATE)
    assert len(passes) == 3  # the first images are kept


def test_256_images_run_again_alone_and_by_seven() -> None:
    candidate = Fixed()
    batches = in_batches(300, 150)
    assert not Evidence(Fixed(), lambda: batches).has_maps
    Evidence(Fixed(), lambda: batches).report(candidate, GATE)
    assert candidate.batches == [150, 150] + [1] * 256 + [7] * 36 + [4]


def test_small_batches_are_judged_where_the_whole_passes() -> None:
    class WrongAtSeven(Fixed):
        def predict(self, images: np.ndarray) -> np.ndarray:
            return super().predict(images) * (-1 if len(images) == 7 else 1)

    batches, seen = in_batches(30, 16), []
    evidence = Evidence(Fixed(), lambda: batches, part=14)
    evidence.on_result = seen.append
    candidate = WrongAtSeven()
    failures = evidence.failures(candidate, GATE)
    assert failures == evidence.report(WrongAtSeven(), GATE).failures
    assert failures and all(failure.startswith("at batch 7: ") for failure in failures)
    assert seen == [evidence.compare(Fixed())]
    shifted = Fixed(change=9.0)
    assert evidence.failures(shifted, GATE) == judge(evidence.compare(Fixed(change=9.0)), GATE)
    assert shifted.batches == [16, 14]  # it has failed already
    evidence.on_result = None
    assert evidence.failures(Fixed(), GATE) == []


def test_reference_answers_for_other_images_too() -> None:
    other = in_batches(5, 5)[0][0]
    evidence = Evidence(Mapped(change=1.0, change_of_maps=2.0), list)
    np.testing.assert_array_equal(evidence.reference_logits(other), Fixed(change=1.0).predict(other))
    np.testing.assert_array_equal(evidence.reference_maps(other), other[..., 0].astype(np.float32) + 2)


def test_maps_are_compared_as_a_whole_and_in_parts() -> None:
    """Maps that are right at the largest batch size alone; every sum here is made from the maps themselves."""

    class WrongInParts(Mapped):
        def explain(self, images: np.ndarray) -> Explained:
            found = super().explain(images)
            return Explained(found.logits, found.cam + np.arange(len(images))[:, None, None].astype(np.float32))

    batches = in_batches(30, 30)
    reference, candidate = Mapped(), WrongInParts()
    evidence = Evidence(reference, lambda: batches, part=20, part_batches=(1, 7), maps=True)
    assert evidence.has_maps
    report = evidence.report(candidate, ParityGate(1e-2))
    assert candidate.explained == [30] + [1] * 20 + [7, 7, 6]
    assert reference.explained == [30, 20]
    images = joined(batches, 0)

    def expected(shown: np.ndarray, size: int) -> MapMeter:
        meter = MapMeter()
        for start in range(0, len(shown), size):
            own = shown[start : start + size]
            meter.add(Mapped().explain(own), WrongInParts().explain(own))
        return meter

    whole = expected(images, 30).result()
    parts = {size: expected(images[:20], size).result() for size in (1, 7)}
    assert report.maps == report_maps(whole, parts, ParityGate(1e-2))
    assert (whole.images, parts[1].images, parts[7].images) == (30, 20, 20)
    assert parts[1].max_scaled_error == 0 and parts[7].max_scaled_error == 6 / parts[7].scale
    lines = [
        *judge_maps(whole, ParityGate(1e-2)),
        *(f"at batch 7: {f}" for f in judge_maps(parts[7], ParityGate(1e-2))),
    ]
    assert report.failures == lines and len(lines) == 2
    assert (report.gate, report.whole.images, set(report.parts)) == (ParityGate(1e-2), 30, {1, 7})
    assert report.to_json()["cam"] == report.maps.to_json()
    assert evidence.compare_maps(WrongInParts()) == whole


def test_failures_of_logits_come_before_those_of_maps() -> None:
    batches = in_batches(30, 16)
    evidence = Evidence(Mapped(), lambda: batches, part=4, part_batches=(3,), maps=True)
    report = evidence.report(Mapped(change=9.0, change_of_maps=9.0), ParityGate(1e-2))
    assert [line.split(" of ")[0].rpartition(" ")[0] for line in report.failures] == [
        "largest error",
        "at batch 3: largest error",
        "class activation maps: largest error",
        "at batch 3: class activation maps: largest error",
    ]
    assert report.whole.images == 30 and report.parts[3].images == 4


def test_runtime_without_maps_is_refused() -> None:
    batches = in_batches(4, 4)
    for reference, candidate in ((Mapped(), Fixed()), (Fixed(), Mapped())):
        evidence = Evidence(reference, lambda: batches, maps=True)
        with pytest.raises(UsageError, match="a runtime without class activation maps"):
            evidence.compare_maps(candidate)


def test_batches_that_are_fewer_at_the_next_call_are_noticed() -> None:
    left = [in_batches(30, 16), in_batches(16, 16)]
    evidence = Evidence(Fixed(), lambda: left.pop(0))
    assert evidence.compare(Fixed()).images == 30
    with pytest.raises(ValueError, match="longer"):
        evidence.compare(Fixed())


def test_answers_that_are_fewer_at_the_next_call_are_noticed() -> None:
    batches = in_batches(30, 16)

    def together(runtimes: Sequence[Runtime]) -> list[Answer]:
        shown = batches if len(runtimes) == 2 else batches[:1]
        return [(labels, names, [each.predict(images) for each in runtimes]) for images, labels, names in shown]

    evidence = Evidence(Fixed(), lambda: batches, ask_together=together)
    assert evidence.compare(Fixed()).images == 30
    with pytest.raises(ValueError, match="longer"):
        evidence.compare(Fixed())
