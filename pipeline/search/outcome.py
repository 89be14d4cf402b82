"""What came of every candidate: dropped, and when and why, or finished, with its figures; the front; the choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporters.core.wording import count_of
from pipeline.search.front import Point, best, front
from pipeline.search.journal import Done
from pipeline.search.measuring import Measured
from pipeline.search.space import Asked, Training

BEFORE, AT_THE_END = "before training", "at the end"
NOT_REACHED = "the budget was spent"


@dataclass(frozen=True)
class Candidate:
    """One file: a student, a method and a precision.

    Attributes:
        training: student and method.
        precision: of the file.
        rungs: epochs → accuracy on validation after the rung, as far as it came.
        untrained: costs of the file before training; None where there was none.
        point: accuracy, latency and size of the finished file; None where there is none.
        p95_ms: of the finished file.
        test_top1: of the trained student on test, in fp32.
        when, why: when it was dropped and why; empty for a finished one within the bounds.
    """

    training: Training
    precision: str
    rungs: Mapping[int, float]
    untrained: Measured | None = None
    point: Point | None = None
    p95_ms: float | None = None
    test_top1: float | None = None
    when: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        """As tables and files have it."""
        return f"{self.training.name}, {self.precision}"


@dataclass(frozen=True)
class Outcome:
    """All candidates, and which of them are on the front; `chosen` is None where none is within the bounds."""

    candidates: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    chosen: Candidate | None


def conclude(
    asked: Asked,
    untrained: Mapping[str, Mapping[str, Measured]],
    dropped: Mapping[tuple[str, str], str],
    rungs: Sequence[Sequence[Training]],
    done: Done,
) -> Outcome:
    """Judge every candidate.

    Args:
        asked: what was searched.
        untrained: student → precision → costs before training, of all files that could be made.
        dropped: student and precision → why it was dropped before training.
        rungs: the trainings of each rung, see `pipeline.search.work.racing`.
        done: what has ended.
    """
    found = []
    for training in asked.trainings:
        for precision in asked.precisions:
            costs = untrained.get(training.student, {}).get(precision)
            why = dropped.get((training.student, precision))
            if why is not None:
                found.append(Candidate(training, precision, {}, costs, when=BEFORE, why=why))
            else:
                found.append(_judged(asked, training, precision, costs, rungs, done))
    finished = [each for each in found if each.point is not None and not each.why]
    points = [each.point for each in finished if each.point is not None]
    place = best(points)
    return Outcome(
        tuple(found),
        tuple(finished[index] for index in front(points)),
        None if place is None else finished[place],
    )


def _judged(
    asked: Asked,
    training: Training,
    precision: str,
    costs: Measured | None,
    rungs: Sequence[Sequence[Training]],
    done: Done,
) -> Candidate:
    scores: dict[int, float] = {}

    def dropped(when: str, why: str, **known: Any) -> Candidate:
        return Candidate(training, precision, scores, costs, when=when, why=why, **known)

    for number, epochs in enumerate(asked.lengths):
        after = f"after {count_of(epochs, 'epoch')}"
        before = asked.lengths[number - 1] if number else 0
        if number >= len(rungs):
            return dropped(f"after {count_of(before, 'epoch')}", NOT_REACHED)
        if training not in rungs[number]:
            return dropped(f"after {count_of(before, 'epoch')}", "others are better")
        result = done.get((training, epochs))
        if result is None:
            return dropped(f"after {count_of(before, 'epoch')}" if before else "before its first epoch", NOT_REACHED)
        if result.top1 is None:
            return dropped(after, result.message.splitlines()[0])
        scores[epochs] = result.top1
    file = done[training, asked.lengths[-1]].files[precision]
    if "out" in file:
        return dropped(AT_THE_END, str(file["out"]))
    point = Point(float(file["top1"]), float(file["latency_ms"]), int(file["size"]))
    missed = asked.bounds.missed(point.latency_ms, point.size, point.top1)
    known: dict[str, Any] = {
        "point": point,
        "p95_ms": float(file["p95_ms"]),
        "test_top1": done[training, asked.lengths[-1]].test_top1,
    }
    if missed is not None:
        return dropped(AT_THE_END, missed, **known)
    return Candidate(training, precision, scores, costs, **known)


def to_json(asked: Asked, outcome: Outcome, command: str, sha256: str) -> dict[str, Any]:
    """`front.json`: plain values, the same for a search that was interrupted and one that was not.

    Args:
        asked: what was searched.
        outcome: what came of it.
        command: the command line, as it can be typed.
        sha256: of the recipe with the user's overrides, resolved.
    """
    on_front = {each.name for each in outcome.front}
    return {
        "format": 1,
        "recipe": {"name": asked.own.name, "sha256": sha256},
        "command": command,
        **asked.to_json(),
        "front": [each.name for each in outcome.front],
        "chosen": None if outcome.chosen is None else outcome.chosen.name,
        "candidates": [_entry(each, on_front, outcome.chosen) for each in outcome.candidates],
    }


def _entry(each: Candidate, on_front: set[str], chosen: Candidate | None) -> dict[str, Any]:
    point, before = each.point, each.untrained
    return {
        "name": each.name,
        "student": each.training.student,
        "method": each.training.method,
        "precision": each.precision,
        "untrained": None if before is None else {"latency_ms": before.latency_ms, "bytes": before.size},
        "rungs": [{"epochs": epochs, "validation_top1": top1} for epochs, top1 in each.rungs.items()],
        "validation_top1": None if point is None else point.top1,
        "fp32_test_top1": each.test_top1,
        "latency_ms": None if point is None else point.latency_ms,
        "p95_ms": each.p95_ms,
        "bytes": None if point is None else point.size,
        "dropped": {"when": each.when, "why": each.why} if each.why else None,
        "on_front": each.name in on_front,
        "chosen": each is chosen,
    }
