"""What becomes of each candidate, in `front.json` too."""

from pathlib import Path

import pytest

from pipeline.search.halving import Costs
from pipeline.search.journal import Done, Result
from pipeline.search.outcome import BEFORE, NOT_REACHED, Outcome, conclude, to_json
from pipeline.search.space import Asked, Bounds, Training
from pipeline.search.work import racing
from tests.pipeline.search.making import COSTS, asked_on

SMALL, LARGE = "cifar:resnet8", "cifar:resnet14"


def file(top1: float, latency: float, size: int) -> dict[str, float]:
    return {"top1": top1, "latency_ms": latency, "p95_ms": latency * 1.1, "size": size}


def results(asked: Asked) -> Done:
    """A whole search: of the small student kd wins, the large one is more accurate, and its training with ce fails."""
    top1 = {(SMALL, "ce"): 0.5, (SMALL, "kd"): 0.6, (LARGE, "kd"): 0.8}
    done: Done = {
        (each, 2): Result(top1.get((each.student, each.method)), "the loss is not finite\nmore")
        for each in asked.trainings
    }
    for student, fp32, int8 in ((SMALL, 0.7, 0.69), (LARGE, 0.9, 0.85)):
        costs = COSTS[student]
        files = {
            "fp32": file(fp32, costs["fp32"].latency_ms, costs["fp32"].size),
            "int8": file(int8, costs["int8"].latency_ms, costs["int8"].size),
        }
        done[Training(student, "kd"), 4] = Result(fp32, "", files, fp32 - 0.1)
    return done


def concluded(asked: Asked, done: Done, dropped: dict[tuple[str, str], str] | None = None) -> Outcome:
    costs: dict[str, list[Costs]] = {
        student: [(each.latency_ms, each.size) for each in files.values()] for student, files in COSTS.items()
    }
    return conclude(asked, COSTS, dropped or {}, racing(asked, asked.trainings, costs, done), done)


def found(outcome: Outcome, name: str) -> tuple[str, str]:
    (candidate,) = [each for each in outcome.candidates if each.name == name]
    return candidate.when, candidate.why


def test_the_most_accurate_candidate_within_the_bounds_is_chosen(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    outcome = concluded(asked, results(asked))
    assert outcome.chosen is not None and outcome.chosen.name == f"{LARGE}, kd, fp32"
    assert {each.name for each in outcome.front} == {
        f"{student}, kd, {precision}" for student in (SMALL, LARGE) for precision in ("fp32", "int8")
    }
    assert found(outcome, f"{SMALL}, ce, fp32") == ("after 2 epochs", "others are better")
    assert found(outcome, f"{LARGE}, ce, int8") == ("after 2 epochs", "the loss is not finite")


@pytest.mark.parametrize(
    ("bounds", "chosen"),
    [
        (Bounds(latency_ms=1.5), f"{LARGE}, kd, int8"),
        (Bounds(size_mb=0.15), f"{SMALL}, kd, int8"),
        (Bounds(latency_ms=1.1, top1=0.7), f"{SMALL}, kd, fp32"),
        (Bounds(latency_ms=0.1), None),
    ],
)
def test_bounds_hold_for_the_finished_files(tiny_recipe: Path, bounds: Bounds, chosen: str | None) -> None:
    asked = asked_on(tiny_recipe, bounds=bounds)
    outcome = concluded(asked, results(asked))
    assert (outcome.chosen.name if outcome.chosen else None) == chosen
    for each in outcome.front:
        assert each.point is not None
        assert bounds.missed(each.point.latency_ms, each.point.size, each.point.top1) is None


def test_what_was_dropped_before_training_says_so(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    outcome = concluded(asked, results(asked), {(LARGE, "fp32"): "2 ms, at most 1.5"})
    assert found(outcome, f"{LARGE}, kd, fp32") == (BEFORE, "2 ms, at most 1.5")
    assert outcome.chosen is not None and outcome.chosen.name == f"{LARGE}, kd, int8"


def test_a_rejected_file_is_out(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    done = results(asked)
    whole = done[Training(LARGE, "kd"), 4]
    done[Training(LARGE, "kd"), 4] = Result(0.9, "", {**whole.files, "int8": {"out": "rejected: top-1 drops"}}, 0.8)
    assert found(concluded(asked, done), f"{LARGE}, kd, int8") == ("at the end", "rejected: top-1 drops")


def test_a_spent_budget_is_the_reason_of_what_was_not_reached(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    done = {task: result for task, result in results(asked).items() if task != (Training(LARGE, "kd"), 4)}
    outcome = concluded(asked, done)
    assert found(outcome, f"{LARGE}, kd, fp32") == ("after 2 epochs", NOT_REACHED)
    assert outcome.chosen is not None and outcome.chosen.name == f"{SMALL}, kd, fp32"
    nothing = concluded(asked, {})
    assert nothing.chosen is None and nothing.front == ()
    assert {(each.when, each.why) for each in nothing.candidates} == {("before its first epoch", NOT_REACHED)}


def test_json_has_every_candidate_and_the_choice(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe, bounds=Bounds(latency_ms=1.5))
    value = to_json(asked, concluded(asked, results(asked)), "tmkd-pipeline search", "0" * 64)
    assert value["chosen"] == f"{LARGE}, kd, int8" and value["bounds"]["max_latency_ms"] == 1.5
    assert len(value["candidates"]) == 8 and [each["chosen"] for each in value["candidates"]].count(True) == 1
    assert [each["name"] for each in value["candidates"] if each["on_front"]] == value["front"]
    (dropped,) = [each for each in value["candidates"] if each["name"] == f"{LARGE}, kd, fp32"]
    assert dropped["dropped"] == {"when": "at the end", "why": "2 ms, at most 1.5"}
    assert dropped["rungs"] == [{"epochs": 2, "validation_top1": 0.8}, {"epochs": 4, "validation_top1": 0.9}]
