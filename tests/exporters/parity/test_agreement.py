"""What is said of an int8 file that keeps its accuracy and gives other answers."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.artifacts.decide import VariantVerdict, with_figures
from exporters.artifacts.status import Status
from exporters.artifacts.variants import make_variant
from exporters.parity import Evidence, ParityGate, ParityResult, compare
from exporters.parity.agreement import refused_by_agreement_alone
from exporters.quantize import Calibration
from exporters.runtimes import TorchRuntime
from tests.exporters.conftest import Exported, random_images

GATE = ParityGate(None, 0.97, 0.01)


def swapped(lost: int, won: int, *, images: int = 100, labels: bool = True) -> ParityResult:
    """Of images of two classes: so many right answers become wrong, so many wrong ones right."""
    reference = np.tile([1.0, 0.0], (images, 1)).astype(np.float32)
    candidate, truth = reference.copy(), np.zeros(images, np.int64)
    candidate[: lost + won] = (0.0, 1.0)
    truth[lost : lost + won + 10] = 1
    return compare(reference, candidate, truth if labels else None, [str(index) for index in range(images)])


def test_figures_are_given_where_agreement_alone_refuses() -> None:
    assert refused_by_agreement_alone(swapped(6, 6), GATE) == {
        "images": 100,
        "reference_accuracy": 0.84,
        "candidate_accuracy": 0.84,
        "accuracy_drop": 0.0,
        "top1_agreement": 0.88,
        "differing": 12,
        "min_agreement": 0.97,
    }


@pytest.mark.parametrize(
    ("result", "gate"),
    [
        (swapped(0, 0), GATE),  # passes
        (swapped(9, 3), GATE),  # loses accuracy too
        (swapped(6, 6, labels=False), GATE),  # nobody knows what it loses
        (swapped(6, 6), replace(GATE, max_scaled_error=0.1)),  # its logits are too far away as well
    ],
)
def test_no_figures_where_it_passes_or_something_else_refuses(result: ParityResult, gate: ParityGate) -> None:
    assert refused_by_agreement_alone(result, gate) is None


@pytest.mark.parametrize("status", list(Status))
def test_figures_are_said_of_a_file_that_stays_and_no_other(status: Status) -> None:
    verdict = VariantVerdict(status, "0.90 times as fast as fp32", swapped(6, 6))  # type: ignore[arg-type]
    said = with_figures(verdict, refused_by_agreement_alone(swapped(6, 6), GATE))
    if status not in {Status.REJECTED, Status.NOT_USEFUL}:
        assert said == verdict
        return
    assert said.reason == (
        "0.90 times as fast as fp32. With all layers in 8 bits the accuracy is 84.00 % (fp32: 84.00 %), which"
        " max_accuracy_drop allows; 12 of 100 answers differ (agreement 88.00 %), and parity.int8.min_agreement, 0.97,"
        " is all that refuses it: a recipe may lower it where accuracy alone counts"
    )
    assert said.all_in_8_bits is not None and said.all_in_8_bits["differing"] == 12
    assert with_figures(verdict, None) == verdict


def test_search_hands_on_the_figures_of_its_first_file(cifar: Exported) -> None:
    """The search goes on and keeps layers in float; the figures stay those of the file without any."""
    images, student = random_images(64, 32, seed=3), TorchRuntime(cifar.student)
    answers = student.predict(images)
    near = images[np.argsort(np.diff(np.sort(answers, axis=1)[:, -2:], axis=1)[:, 0])[:32]]  # the nearest ties
    labels = np.zeros(len(near), np.int64)
    evidence = Evidence(student, lambda: [(near, labels, [str(index) for index in range(len(near))])])
    whole: list[ParityResult] = []
    evidence.on_result = whole.append
    calibration = Calibration(lambda: iter([random_images(16, 32, seed=9)]))
    gate = ParityGate(None, 1.0, 1.0)
    made = make_variant("int8", cifar.data, cifar.entries, evidence, gate, cifar.images, calibration=calibration)
    assert whole[0].differing > 1 and made.trials == len(whole) > 1
    assert made.all_in_8_bits == refused_by_agreement_alone(whole[0], gate) is not None
    assert made.to_json()["all_in_8_bits"]["differing"] == whole[0].differing
    lenient = replace(gate, min_agreement=0.0)
    passed = make_variant("int8", cifar.data, cifar.entries, evidence, lenient, cifar.images, calibration=calibration)
    assert passed.all_in_8_bits is None and "all_in_8_bits" not in passed.to_json()
