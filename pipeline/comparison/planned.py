"""What a comparison was asked for, written when it begins, so that it can be reported before it has ended."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from exporters.core.errors import UsageError
from exporters.core.files import read_json, sha256_bytes, write_json
from pipeline.comparison.arms import Arm
from pipeline.comparison.results import ArmResult, Comparison, read_result, widest_teacher
from pipeline.data.index import DataIndex
from pipeline.recipe.reading.overrides import parse_override
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory

PLAN, RESULT = "plan.json", "compare.json"
FORMAT = 1

CACHE = "cache"
"""Where the runs keep together what can be computed again."""


@dataclass(frozen=True)
class PlannedArm:
    """One arm; attributes as of `ArmResult`."""

    name: str
    method: str
    base: str | None
    settings: Mapping[str, Any]
    reference: str | None
    ablates: str | None


@dataclass(frozen=True)
class Planned:
    """A comparison before its results.

    Attributes:
        recipe, recipe_sha256, command: as of `Comparison`.
        dataset: `data.dataset` of the recipe.
        seeds: of each arm.
        arms: in the order in which they were given.
    """

    recipe: str
    recipe_sha256: str
    command: str
    dataset: str
    seeds: tuple[int, ...]
    arms: tuple[PlannedArm, ...]

    def write(self, folder: Path) -> None:
        """Write `plan.json` into the comparison's folder."""
        write_json(folder / PLAN, {"format": FORMAT, **asdict(self)})


def planned(recipe: Recipe, arms: Sequence[Arm], seeds: Sequence[int], command: Sequence[str]) -> Planned:
    """What is to be compared, from the recipe that all arms start from."""
    return Planned(
        recipe=recipe.name,
        recipe_sha256=sha256_bytes(recipe.to_yaml().encode()),
        command=" ".join(map(quote, command)),
        dataset=recipe.data.dataset,
        seeds=tuple(seeds),
        arms=tuple(
            PlannedArm(
                arm.name, arm.method, arm.base, _settings(arm.overrides), reference=arm.reference, ablates=arm.ablates
            )
            for arm in arms
        ),
    )


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    changes = [parse_override(override) for override in overrides]
    return {".".join(change.path): change.value for change in changes}


def is_comparison(folder: Path) -> bool:
    """Whether a comparison has begun in a folder."""
    return any((folder / name).is_file() for name in (PLAN, RESULT))


def read_planned(folder: Path) -> Planned:
    """What the comparison in a folder was asked for; of one that was made before plans were written, what it gave.

    Raises:
        UsageError: the file is damaged, or of another version; names it.
    """
    path = folder / PLAN if (folder / PLAN).is_file() else folder / RESULT
    try:
        value = read_json(path)
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}")
        return _of_plan(value) if path.name == PLAN else _of_result(value)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read as what a comparison was asked for: {type(error).__name__}: {error}",
            remedy="Run the comparison again; what is finished is kept.",
        ) from error


def _of_plan(value: Mapping[str, Any]) -> Planned:
    texts = {key: str(value[key]) for key in ("recipe", "recipe_sha256", "command", "dataset")}
    return Planned(**texts, seeds=tuple(map(int, value["seeds"])), arms=tuple(map(_arm, value["arms"])))


def _of_result(value: Mapping[str, Any]) -> Planned:
    return Planned(
        recipe=str(value["recipe"]["name"]),
        recipe_sha256=str(value["recipe"]["sha256"]),
        command=str(value["command"]),
        dataset=str(value["data"]).partition(",")[0],
        seeds=tuple(sorted({int(seed["seed"]) for arm in value["arms"] for seed in arm["seeds"]})),
        arms=tuple(map(_arm, value["arms"])),
    )


def _arm(value: Mapping[str, Any]) -> PlannedArm:
    return PlannedArm(
        str(value["name"]),
        str(value["method"]),
        value["base"],
        dict(value["settings"]),
        reference=value["reference"],
        ablates=value["ablates"],
    )


def run_name(arm: str, seed: int) -> str:
    """Where the run of an arm under a seed is, below the comparison's folder."""
    return f"runs/{folder_name(arm)}/seed-{seed}"


def folder_name(arm: str) -> str:
    """The name of an arm as a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", arm).strip("-")


def read_results(folder: Path, plan: Planned, finished: Collection[tuple[str, int]]) -> tuple[ArmResult, ...]:
    """The results of the arms that have any; an arm whose reference has none is its own.

    Args:
        folder: of the comparison.
        plan: what it was asked for.
        finished: arm and seed of the runs that came through.

    Raises:
        UnavailableError: the results of one of them cannot be read.
    """
    results = []
    for arm in plan.arms:
        seeds = [seed for seed in plan.seeds if (arm.name, seed) in finished]
        names = {seed: run_name(arm.name, seed) for seed in seeds}
        found = tuple(read_result(RunDirectory(folder / name), seed, name) for seed, name in names.items())
        if found:
            results.append(ArmResult(arm.name, arm.method, arm.base, arm.settings, arm.reference, found, arm.ablates))
    there = {arm.name for arm in results}
    return tuple(arm if arm.reference in there else replace(arm, reference=None) for arm in results)


def make_comparison(
    folder: Path, plan: Planned, results: tuple[ArmResult, ...], weaknesses: Sequence[str]
) -> Comparison:
    """The comparison that a report shows.

    Args:
        folder: of the comparison.
        plan: what it was asked for.
        results: of `read_results`, at least one.
        weaknesses: see `Comparison`.
    """
    index = DataIndex.load(folder / results[0].seeds[0].run / "data")
    return Comparison(
        recipe=plan.recipe,
        recipe_sha256=plan.recipe_sha256,
        command=plan.command,
        data=f"{plan.dataset}, {len(index.classes)} classes, {len(index.splits['train']):,} training images",
        teacher=widest_teacher(results),
        arms=results,
        weaknesses=tuple(weaknesses),
    )
