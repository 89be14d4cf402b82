"""What a run's meters cost: the seconds by part and the losses of each step, which every training measures."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from benchmarks.training import ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Subjects
from pipeline.timing import PartTimer
from pipeline.training.meters import EpochMeters
from pipeline.training.step import train_step

_TIMES = 20
"""Steps' meters that are timed for each step: alone they are too short for the processor's clock."""


class _Recorded(PartTimer):
    """A timer that also notes which parts are entered (their name) and left (None), in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[str | None] = []

    def _enter(self, name: str) -> None:
        self.marks.append(name)
        super()._enter(name)

    def _exit(self) -> None:
        self.marks.append(None)
        super()._exit()


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """The meters of plain training's steps over the steps, of which no kind is shorter: at most .01."""
    training = ours.training_of(subjects, ours.distill_settings("ce"), None)
    marks, losses = marks_of_a_step(subjects)
    contenders = {"meters": metering(subjects, marks, losses), "plain": ours.stepping(subjects, training)}
    costs = interleaved(contenders, rounds)
    one = {
        name: [type(cost)(cost.wall / times, cost.cpu / times) for cost in costs[name]]
        for name, times in (("meters", _TIMES), ("plain", 1))
    }
    return [Claim("meters", "meters", "plain", one, subjects.pair.pixels, 0.01, subjects.facts)]


def marks_of_a_step(subjects: Subjects) -> tuple[list[str | None], Mapping[str, Tensor]]:
    """The parts that a step of plain training enters (their name) and leaves (None), and its losses."""
    training = ours.training_of(subjects, ours.distill_settings("ce"), None)
    fabric = ours.make_fabric("cpu", "fp32")
    model, optimizer = fabric.setup(training.task, ours.make_optimizer(training.task, training.settings))
    timer = _Recorded()
    meters = EpochMeters("student", 0, timer)
    with meters.measured(fabric.device):
        for step, batch in enumerate(meters.waiting(ours.batches(subjects)[:1])):
            train_step(training, fabric, model, optimizer, batch, 0, step, meters)
    names = [name.removeprefix("loss_") for name in meters.losses() if name.startswith("loss_")]
    return timer.marks, {name: torch.tensor(1.0) for name in names}


def metering(subjects: Subjects, marks: list[str | None], losses: Mapping[str, Tensor]) -> Callable[[], None]:
    """A piece of work: what the meters do in all steps, and nothing else of these, `_TIMES` times."""
    batch, indices = subjects.pair.batch, torch.arange(subjects.pair.batch)

    def work() -> None:
        for _ in range(_TIMES):
            meters = EpochMeters("student", 0)
            with meters.measured(torch.device("cpu")):
                for step in range(subjects.pair.steps):
                    opened = []
                    for name in marks:
                        if name is None:
                            opened.pop().__exit__(None, None, None)
                        else:
                            opened.append(meters.part(name))
                            opened[-1].__enter__()
                    meters.update(losses, batch, step, indices)
                    meters.left_out()
            meters.losses()
            meters.time(torch.device("cpu"))

    return work
