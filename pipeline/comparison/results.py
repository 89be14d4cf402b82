"""What arms of a comparison gave: read from ordinary run directories, and held as plain values."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import read_json
from exporters.parity.chance import chance_level, is_above_chance
from pipeline.recipe import load_recipe
from pipeline.runner.rundir import RunDirectory

Which = Literal["chosen", "final"]
WHICH: tuple[Which, Which] = ("chosen", "final")
"""The student of the epoch that validation chose, and that of the last epoch."""


@dataclass(frozen=True, eq=False)
class SeedResult:
    """One student: one arm under one seed.

    Attributes:
        seed: the recipe's `seed`.
        run: the run directory's name.
        validation: top-1 accuracy in [0, 1], of the chosen and of the final student.
        test: the same on the test split, which chooses nothing.
        seconds_per_epoch: the median time of training for one epoch; scoring between epochs is not in it.
        correct: for either student, bool `[N]`: whether each test image is right.
        teacher: the teacher on `validation` and `test` as `verdict.json` has it; None where the method has none.
        chance: the accuracy of always answering the commonest class of the test split.
        nll: of the chosen student on the test split, in nats; None where its logits are not finite.
        ece: the same student's expected calibration error, in [0, 1]; None like `nll`.
        corrupted: its top-1 on corrupted test images, by kind of corruption (mean over severities) and `mean`; None
            where `validate.corruptions` was off.
        chose: under `distill.method: auto` the winner of the race, such as `tmkd on kd`; else None.
    """

    seed: int
    run: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    seconds_per_epoch: float
    correct: Mapping[str, np.ndarray]
    teacher: Mapping[str, Any] | None = None
    chance: float = 0.0
    nll: float | None = None
    ece: float | None = None
    corrupted: Mapping[str, float] | None = None
    chose: str | None = None

    @property
    def learned(self) -> bool:
        """Whether the chosen student is above chance level on the test split."""
        correct = self.correct["chosen"]
        return is_above_chance(int(correct.sum()), len(correct), self.chance)


@dataclass(frozen=True, eq=False)
class ArmResult:
    """One arm: a method with its settings, under every seed.

    Attributes:
        name: as the tables show it.
        method: the recipe's `distill.method`.
        base: what TMKD is plugged into; None for a method alone.
        settings: what the arm changes against the recipe, dotted key → value.
        reference: the name of the arm that it is paired with: the same losses, views [rgb], no contrast; None where
            the arm is its own.
        seeds: the results.
        ablates: the switch that an arm of the ablation turns, such as `weighting`; None for an arm of the main table.
    """

    name: str
    method: str
    base: str | None
    settings: Mapping[str, Any]
    reference: str | None
    seeds: tuple[SeedResult, ...]
    ablates: str | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that a report shows.

    Attributes:
        recipe: its name.
        recipe_sha256: of the resolved recipe that all arms start from.
        command: the command line that made it, as it can be typed.
        data: the data set in a few words, such as `folder, 10 classes, 6,000 training images`.
        teacher: the teacher on `validation` and `test`, as `verdict.json` has it; empty where no arm has one.
        arms: in the order in which they were given.
        weaknesses: what a reader must know against the comparison, one sentence each.
    """

    recipe: str
    recipe_sha256: str
    command: str
    data: str
    teacher: Mapping[str, Any]
    arms: tuple[ArmResult, ...]
    weaknesses: tuple[str, ...] = field(default=())


def read_result(run_directory: RunDirectory, seed: int, name: str) -> SeedResult:
    """Read what the stages `distill` and `validate` of a run left behind; a missed gate does not matter here.

    Args:
        run_directory: the run.
        seed: its seed.
        name: what the report calls the run.

    Raises:
        UnavailableError: a file is missing or damaged; names the run directory and what is wrong.
    """
    folder = run_directory.folder("validate")
    try:
        verdict = read_json(folder / "verdict.json")
        with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
            correct: dict[str, np.ndarray] = {
                which: arrays[f"{which}.test"] == arrays["labels.test"] for which in WHICH
            }
            chance = chance_level(arrays["labels.test"])
        return SeedResult(
            seed=seed,
            run=name,
            validation={which: float(verdict["student"][which]["validation"]["top1"]) for which in WHICH},
            test={which: float(verdict["student"][which]["test"]["top1"]) for which in WHICH},
            seconds_per_epoch=_seconds_per_epoch(run_directory),
            correct=correct,
            teacher=verdict["teacher"],
            chance=chance,
            nll=verdict["student"]["chosen"]["test"]["nll"],
            ece=verdict["student"]["chosen"]["test"]["ece"],
            corrupted=_corrupted(verdict["corruptions"]),
            chose=_winner(run_directory),
        )
    except (OSError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile, UsageError) as error:
        reason = error.message if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise UnavailableError(
            f"{run_directory.path}: the results cannot be read: {reason}",
            remedy="Run it again; a stage whose files are damaged repeats. Or remove the directory.",
        ) from error


def _corrupted(measured: Mapping[str, Any] | None) -> dict[str, float] | None:
    if measured is None:
        return None
    kinds = {name: sum(values.values()) / len(values) for name, values in measured["top1"].items()}
    return kinds | {"mean": float(measured["mean_top1"])}


def _winner(run: RunDirectory) -> str | None:
    """Which method won the race of the run; None where there was no race."""
    record = run.record("race")
    return None if record is None or record.status != "done" else str(record.summary["winner"])


def _seconds_per_epoch(run: RunDirectory) -> float:
    """Images of an epoch over the median rate of the epochs, which a pause or another program disturbs least."""
    record = run.record("distill")
    if record is None:
        raise LookupError("stages/distill.json is not there")
    images = int(read_json(run.folder("data") / "index.json")["splits"]["train"]["images"])
    locked = load_recipe(str(run.path / "recipe.lock.yaml"))
    if ("train", "batch_size") not in locked.origins:  # a lock has every key; its default may be another batch
        raise LookupError("recipe.lock.yaml has no train.batch_size")
    batch = locked.recipe.train.batch_size
    seen = images // batch * batch or images  # an epoch leaves out what does not fill a batch, unless it is all
    return seen / float(record.summary["images_per_second"])


def widest_teacher(arms: tuple[ArmResult, ...]) -> Mapping[str, Any]:
    """The teacher of the first arm that sees the most views; empty where no arm has a teacher."""
    found: Mapping[str, Any] = {}
    for arm in arms:
        for result in arm.seeds[:1]:
            if result.teacher and (not found or len(_views(result.teacher)) > len(_views(found))):
                found = result.teacher
    return found


def _views(teacher: Mapping[str, Any]) -> Mapping[str, float]:
    return teacher["test"]["views"]
