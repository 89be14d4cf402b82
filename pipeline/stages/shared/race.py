"""The race of `distill.method: auto` as its stage leaves it, for the stages and reports that come after."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporters.core.files import read_json
from exporters.core.wording import count_of
from pipeline.distill.race.candidates import PLAIN, candidate
from pipeline.distill.settings import AUTO
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory

RACE, SECONDS = "race.json", "seconds.json"


def read_race(run: RunDirectory, recipe: Recipe) -> dict[str, Any] | None:
    """`race/race.json`; None where the recipe's method is not `auto`."""
    return read_json(run.folder("race") / RACE) if recipe.distill.method == AUTO else None


def decided_recipe(run: RunDirectory, recipe: Recipe) -> Recipe:
    """The recipe with the method that won the race in the place of `auto`; unchanged under any other method."""
    race = read_race(run, recipe)
    if race is None:
        return recipe
    return recipe.model_copy(update={"distill": recipe.distill.of(candidate(race["winner"]))})


def race_verdict(race: Mapping[str, Any]) -> str:
    """What was chosen, among how many, and how far it is from plain training, in one sentence."""
    last = race["rungs"][-1]
    top1 = {row["candidate"]: row["validation_top1"] for row in last["results"] if row["validation_top1"] is not None}
    winner, racers = race["winner"], count_of(len(race["rungs"][0]["results"]), "candidate")
    figures = f"validation top-1 {100 * top1[winner]:.2f} % after {count_of(last['epochs'], 'epoch')}"
    best = max(top1, key=lambda name: top1[name])
    if winner == PLAIN:
        return f"auto chose plain training (ce) among {racers}: {figures}, and no other is as good"
    sentence = f"auto chose {winner} among {racers}: {figures}, plain training (ce) {100 * top1[PLAIN]:.2f} %"
    if top1[winner] < top1[best]:
        sentence += f"; as good as the best, {best} with {100 * top1[best]:.2f} %, within one standard error"
    return sentence


def race_table(
    race: Mapping[str, Any], seconds: Mapping[str, Sequence[float]]
) -> tuple[str, list[str], list[list[str]], int]:
    """Title, columns, rows and how many columns are words: the arguments of `Console.table`; 60 letters wide at most
    with the default two rungs.

    Args:
        race: `race.json`.
        seconds: `seconds.json`: candidate → seconds of each rung that it took part in.
    """
    rungs = race["rungs"]
    cells: dict[str, list[str]] = {row["candidate"]: [] for row in rungs[0]["results"]}
    scores: dict[str, tuple[float, ...]] = dict.fromkeys(cells, ())
    for number, rung in enumerate(rungs, start=1):
        for row in rung["results"]:
            score = row["validation_top1"]
            cells[row["candidate"]].append(_shown(row, with_interval=number == len(rungs)))
            scores[row["candidate"]] += (-1.0 if score is None else score,)
    best_first = sorted(
        cells, key=lambda name: (len(scores[name]), scores[name][-1], name == race["winner"]), reverse=True
    )
    rows = [
        [name, *cells[name], *[""] * (len(rungs) - len(cells[name])), _seconds(sum(seconds.get(name, ())))]
        for name in best_first
    ]
    columns = ["", *(count_of(rung["epochs"], "epoch") for rung in rungs), "seconds"]
    return "Race: validation top-1, % (95 % interval)", columns, rows, 1


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f}" if seconds < 100 else f"{seconds:,.0f}"


def _shown(row: Mapping[str, Any], *, with_interval: bool) -> str:
    if row["validation_top1"] is None:
        return "diverged"
    top1 = f"{100 * row['validation_top1']:.2f}"
    low, high = row["interval"]
    return f"{top1} ({100 * low:.0f}–{100 * high:.0f})" if with_interval else top1
