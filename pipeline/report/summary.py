"""The end of a run in one table: what went in, what came out, and what to type next."""

import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from shlex import quote
from typing import Any

from exporters.core.files import read_json
from exporters.parity.chance import are_too_few, has_learned, interval_text, not_above_chance
from pipeline.console import Console
from pipeline.data.index import DataIndex
from pipeline.data.stores.registry import open_store
from pipeline.evaluation.gain import gain_in_words
from pipeline.recipe.schema.recipe import Recipe
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
        shown: stages that ran just now; the table of the race, which that stage prints, is not repeated.

    A student that is not above chance level is called that last, in place of what to do with its bundle.
    """
    verdict = read_json(run.folder("validate") / "verdict.json")
    parity = read_json(run.folder("parity") / "parity.json")["fp32"]
    manifest = read_json(run.folder("bundle") / "manifest.json")
    console.table(
        f"{recipe.name}: student against teacher",
        ["", "validation top-1, %", "test top-1, %", "parameters", "size"],
        _accuracy_rows(verdict, manifest, _teacher_size(run)),
    )
    chosen = verdict["student"]["chosen"]
    deciding, untouched = (chosen[split]["images"] for split in _SPLITS)
    console.say(
        f"in parentheses: 95 % intervals. {deciding:,} validation images chose the epoch and decided the gates;"
        f" {untouched:,} test images decided nothing"
    )
    _tell_race(run, recipe, console, with_table=RaceStage.name not in shown)
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


def _tell_race(run: RunDirectory, recipe: Recipe, console: Console, *, with_table: bool) -> None:
    """The race of `distill.method: auto`, and what it chose."""
    race = read_race(run, recipe)
    if race is None:
        return
    if with_table:
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


def _tell_gains(verdict: dict[str, Any], console: Console) -> None:
    """Whether the distilled student beats plain training and its base on test, from the very images, in a line each."""
    plain, base = verdict["plain"], verdict["base"]
    subject = "the student"
    if verdict["distilled"] is not None:
        console.warn(f"the plain student ships: {verdict['why']}")
        subject = "the distilled student, which does not ship,"
    if plain is not None:
        short = plain["epochs"] < plain["of"]
        other = f"plain training for {plain['epochs']} of {plain['of']} epochs" if short else "plain training"
        hint = "; student.baseline=full compares at the same budget" if short else ""
        words = gain_in_words(subject, other, plain["gain"]["test"])
        worse = plain["gain"]["test"]["verdict"] == "worse" and verdict["distilled"] is None
        (console.warn if worse else console.say)(f"on test: {words}{hint}")
    if base is not None:
        other = f"its base, {base['name']} on rgb alone"
        console.say(f"on test: {gain_in_words(subject, other, base['gain']['test'])}")


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


def _accuracy_rows(
    verdict: dict[str, Any], manifest: dict[str, Any], teacher_size: tuple[int, int] | None
) -> list[list[str]]:
    students = verdict["student"]
    rows = []
    teacher = verdict["teacher"]
    if teacher is not None:
        parameters, size = teacher_size or (0, 0)
        views = sorted(teacher["test"]["views"], key="rgb".__ne__)
        for view in views:
            shown = (f"{parameters:,}", f"{size / 1e6:.2f} MB") if view == "rgb" else ("", "")
            accuracies = (_accuracy(teacher[s]["views"][view], teacher[s]["images"]) for s in _SPLITS)
            rows.append([f"teacher, view {view}", *accuracies, *shown])
        if len(views) > 1:
            for key, name in (("fused", "label-free"), ("oracle", "oracle")):
                accuracies = (_accuracy(teacher[s][key], teacher[s]["images"]) for s in _SPLITS)
                rows.append([f"teacher, fused ({name})", *accuracies, "", ""])
    rows += [[name, *_student_accuracies(scores), "", ""] for name, scores in _others(verdict)]
    fell_back = verdict["distilled"] is not None
    model = manifest["files"]["model.onnx"]["size"]
    rows.append(
        [
            f"{'plain student' if fell_back else 'student'}, epoch {verdict['chosen_epoch']} (chosen, ships)",
            *_student_accuracies(students["chosen"]),
            f"{manifest['parameters']:,}",
            f"{model / 1e6:.2f} MB",
        ]
    )
    rows.append(
        [f"{'plain student' if fell_back else 'student'}, last epoch", *_student_accuracies(students["final"]), "", ""]
    )
    chance = (f"{100 * students['chosen'][split]['chance']:.2f}" for split in _SPLITS)
    rows.append(["chance level (the commonest class)", *chance, "", ""])
    return rows


def _others(verdict: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The students that the one that ships is shown beside, each with its row's name and its scores by split."""
    plain, base, distilled = (verdict[name] for name in ("plain", "base", "distilled"))
    found = []
    if plain is not None and distilled is None:  # else it ships, and has rows of its own
        short = plain["epochs"] < plain["of"]
        epochs = f", {plain['epochs']} of {plain['of']} epochs" if short else ""
        found.append((f"plain training{epochs}", plain))
    if base is not None:
        found.append((f"base: {base['name']} on rgb alone", base))
    if distilled is not None:
        found.append(("distilled student (does not ship)", distilled))
    return found


def _an_image(data: Path) -> Path | None:
    """A test image of the run's own data, so that the command can be typed as it stands; None where none is a file."""
    index = DataIndex.load(data)
    return open_store(index.store, index.root).file(index.splits["test"].paths[0])


def _student_accuracies(scores: dict[str, Any]) -> list[str]:
    return [_accuracy(scores[split]["top1"], scores[split]["images"]) for split in _SPLITS]


def _accuracy(share: float, images: int) -> str:
    """In per cent, with its interval: `67.50 (63.8–71.0)`."""
    return f"{100 * share:.2f} ({interval_text(share, images)})"


def _teacher_size(run: RunDirectory) -> tuple[int, int] | None:
    """Parameters and bytes of the visual teacher's weights; None where there is no teacher."""
    report = run.folder("teacher") / "report.json"
    if not report.is_file():
        return None
    return read_json(report)["parameters"], (run.folder("teacher") / "student.safetensors").stat().st_size
