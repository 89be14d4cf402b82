"""The end of a run in one table: what went in, what came out, and what to type next."""

import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from shlex import quote
from typing import Any

from exporters.core.files import read_json
from exporters.parity.chance import are_too_few, has_learned, not_above_chance
from pipeline.console import Console
from pipeline.data.index import DataIndex
from pipeline.data.stores.registry import open_store
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.accuracy import COLUMNS, accuracy_rows, gain_lines, teacher_size
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.race import RaceStage
from pipeline.stages.registry import STAGES
from pipeline.stages.shared.race import SECONDS, race_table, race_verdict, read_race

_SPLITS = ("validation", "test")


def show_summary(run: RunDirectory, recipe: Recipe, console: Console, shown: Collection[str] = ()) -> None:
    """Print student against teacher, parity, sizes, seconds by stage and what to type next, from the run's files.

    Args:
        run: a finished one.
        recipe: its recipe.
        console: where it is printed.
        shown: stages that ran just now; what the stage `race` prints, its table and its choice, is not repeated.

    A student that is not above chance level is called that last, in place of what to do with its bundle.
    """
    verdict = read_json(run.folder("validate") / "verdict.json")
    parity = read_json(run.folder("parity") / "parity.json")["fp32"]
    manifest = read_json(run.folder("bundle") / "manifest.json")
    console.table(
        f"{recipe.name}: student against teacher",
        COLUMNS,
        accuracy_rows(verdict, teacher_size(run), (manifest["parameters"], manifest["files"]["model.onnx"]["size"])),
    )
    chosen = verdict["student"]["chosen"]
    deciding, untouched = (chosen[split]["images"] for split in _SPLITS)
    console.say(
        f"in parentheses: 95 % intervals. {deciding:,} validation images chose the epoch and decided the gates;"
        f" {untouched:,} test images decided nothing"
    )
    if RaceStage.name not in shown:
        _tell_race(run, recipe, console)
    _tell_gains(verdict, console)
    _tell_probabilities(verdict, console)
    whole = parity["whole"]
    console.say(
        f"parity on {whole['images']:,} {parity['split']} images: agreement {100 * whole['top1_agreement']:.3f} %,"
        f" largest error {whole['max_scaled_error']:.1e} of the logits' scale"
        f" (allowed {parity['gate']['max_scaled_error']:.0e})"
    )
    records = [run.record(stage.name) for stage in STAGES if stage.skipped(recipe) is None]
    console.say("seconds: " + ", ".join(f"{record.stage} {record.seconds:.1f}" for record in records if record))
    for fault in verdict["faults"]:
        console.warn(f"on test, {fault}. Look at the losses (metrics.jsonl), and lower train.lr if they rise")
    unproved = {split: chosen[split] for split in _SPLITS if not has_learned(chosen[split])}
    if any(not are_too_few(score["correct"], score["images"], score["chance"]) for score in unproved.values()):
        _tell_chance_level(run, unproved, console)
        return
    for split, score in unproved.items():
        console.warn(f"{not_above_chance('the student', score, split)}. Try the bundle on more images before using it")
    bundle, command = run.folder("bundle"), _command()
    image = _an_image(run.folder("data"))
    console.say(
        "next:\n"
        f"  {command} verify {quote(str(bundle))}\n"
        + ("" if image is None else f"  {command} predict {quote(str(bundle))} {quote(str(image))}\n")
        + f"  cat {quote(str(bundle / 'MODEL_CARD.md'))}"
    )


def _tell_race(run: RunDirectory, recipe: Recipe, console: Console) -> None:
    """The race of `distill.method: auto`, and what it chose."""
    race = read_race(run, recipe)
    if race is None:
        return
    title, columns, rows, words = race_table(race, read_json(run.folder("race") / SECONDS))
    console.table(title, columns, rows, words=words)
    console.say(race_verdict(race))


def _tell_probabilities(verdict: dict[str, Any], console: Console) -> None:
    """How good the probabilities of the student that ships are, and what it is worth on corrupted images."""
    test, corrupted = verdict["student"]["chosen"]["test"], verdict["corruptions"]
    parts = []
    if test["nll"] is not None:
        nll = f"{test['nll']:.3f}" if test["nll"] < 1000 else f"{test['nll']:.3g}"
        parts = [f"NLL {nll} nats", f"calibration error {100 * test['ece']:.2f} %"]
    if corrupted is not None:
        parts.append(f"top-1 on corrupted images {100 * corrupted['mean_top1']:.2f} %")
    if parts:
        console.say(f"student on test: {', '.join(parts)}")
    calibration = verdict["calibration"]
    if calibration is not None and not calibration["off"]:
        after = calibration["splits"]["test"]
        console.say(
            f"calibrated student on test (temperature {calibration['temperature']:.4g}):"
            f" NLL {after['nll_after']:.3f} nats, calibration error {100 * after['ece_after']:.2f} %"
        )


def _tell_gains(verdict: dict[str, Any], console: Console) -> None:
    """Whether the distilled student beats plain training and its base on test, in a line each."""
    for line, warns in gain_lines(verdict):
        (console.warn if warns else console.say)(line)


def _tell_chance_level(run: RunDirectory, unproved: dict[str, Any], console: Console) -> None:
    """The end of a run whose student learned nothing, as its images show."""
    claims = [not_above_chance("the student", score, split) for split, score in unproved.items()]
    console.warn(f"{'; '.join(claims)}. Do not use this bundle")
    console.say(
        "next:\n"
        f"  {_command()} data inspect {quote(str(run.path / 'recipe.lock.yaml'))}\n"
        f"  cat {quote(str(run.path / 'metrics.jsonl'))}"
    )


def _command() -> str:
    """The command as it can be typed here: by its name where that is found, else by its path."""
    script = Path(sys.executable).with_name("tmkd-pipeline")
    if shutil.which("tmkd-pipeline") is not None or not script.is_file():
        return "tmkd-pipeline"
    return quote(os.path.relpath(script))


def _an_image(data: Path) -> Path | None:
    """A test image of the run's own data, so that the command can be typed as it stands; None where none is a file."""
    index = DataIndex.load(data)
    return open_store(index.store, index.root).file(index.splits["test"].paths[0])
