"""TMKD whose teachers look at every image, against a naive loop and against the sum of its parts."""

from collections.abc import Callable

import torch

from benchmarks.training import naive, ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Subjects


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """Cold TMKD over the naive loop, at most .67 at 224 px; over a plain step and teachers' passes, at most 1.05."""
    settings = ours.distill_settings("tmkd")
    teacher = ours.teacher_of(subjects, settings)
    assert teacher is not None
    training = ours.training_of(subjects, settings, teacher)
    contenders: dict[str, Callable[[], object]] = {
        "tmkd": ours.stepping(subjects, training),
        "naive": naive.steps(subjects, settings),
        "plain": ours.steps(subjects, "ce"),
        "teacher passes": passes(subjects, teacher.visual),
        "clip passes": passes(subjects, ours.deployed_clip(subjects)),
    }
    costs = interleaved(contenders, rounds)
    pixels, facts = subjects.pair.pixels, subjects.facts
    parts = "plain+teacher passes+clip passes"
    return [
        Claim("cold_naive", "tmkd", "naive", costs, pixels, 0.67 if pixels == 224 else None, facts),
        Claim("cold_parts", "tmkd", parts, costs, pixels, 1.05, facts),
    ]


def passes(subjects: Subjects, network: Callable[[torch.Tensor], object], views: int = 3) -> Callable[[], None]:
    """A piece of work: all images of the batches through a frozen network, once for each view in one batch."""
    shown = [(images.float() / 255).repeat(views, 1, 1, 1) for images in subjects.images]
    shown = [images.contiguous(memory_format=torch.channels_last) for images in shown]

    def work() -> None:
        with torch.inference_mode():
            for images in shown:
                network(images)

    return work
