"""Student against teacher, in rows for the terminal and for the page."""

from typing import Any

from exporters.core.files import read_json
from exporters.parity.chance import interval_text
from pipeline.evaluation.gain import gain_in_words
from pipeline.runner.rundir import RunDirectory

COLUMNS = ["", "validation top-1, %", "test top-1, %", "parameters", "size"]

_SPLITS = ("validation", "test")


def accuracy_rows(
    verdict: dict[str, Any], teacher_size: tuple[int, int] | None, student_size: tuple[int, int] | None
) -> list[list[str]]:
    """A row for the teacher in each view, each student, and chance level, of `COLUMNS`.

    Args:
        verdict: of the stage `validate`.
        teacher_size: parameters and bytes; None where there is no teacher.
        student_size: the same of the exported student; None before it is exported.
    """
    students = verdict["student"]
    rows = []
    teacher = verdict["teacher"]
    if teacher is not None:
        parameters, size = teacher_size or (0, 0)
        views = sorted(teacher["test"]["views"], key="rgb".__ne__)
        for view in views:
            own = (f"{parameters:,}", f"{size / 1e6:.2f} MB") if view == "rgb" else ("", "")
            accuracies = (_accuracy(teacher[s]["views"][view], teacher[s]["images"]) for s in _SPLITS)
            rows.append([f"teacher, view {view}", *accuracies, *own])
        if len(views) > 1:
            for key, name in (("fused", "label-free"), ("oracle", "oracle")):
                accuracies = (_accuracy(teacher[s][key], teacher[s]["images"]) for s in _SPLITS)
                rows.append([f"teacher, fused ({name})", *accuracies, "", ""])
    rows += [[name, *_student_accuracies(scores), "", ""] for name, scores in _others(verdict)]
    fell_back = verdict["distilled"] is not None
    shown = ("", "") if student_size is None else (f"{student_size[0]:,}", f"{student_size[1] / 1e6:.2f} MB")
    rows.append(
        [
            f"{'plain student' if fell_back else 'student'}, epoch {verdict['chosen_epoch']} ({_fate(verdict)})",
            *_student_accuracies(students["chosen"]),
            *shown,
        ]
    )
    rows.append(
        [f"{'plain student' if fell_back else 'student'}, last epoch", *_student_accuracies(students["final"]), "", ""]
    )
    chance = (f"{100 * students['chosen'][split]['chance']:.2f}" for split in _SPLITS)
    rows.append(["chance level (the commonest class)", *chance, "", ""])
    return rows


def _fate(verdict: dict[str, Any]) -> str:
    return "chosen, ships" if verdict["passed"] else "chosen, refused"


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


def _student_accuracies(scores: dict[str, Any]) -> list[str]:
    return [_accuracy(scores[split]["top1"], scores[split]["images"]) for split in _SPLITS]


def _accuracy(share: float, images: int) -> str:
    """In per cent, with its interval: `67.50 (63.8–71.0)`."""
    return f"{100 * share:.2f} ({interval_text(share, images)})"


def teacher_size(run: RunDirectory) -> tuple[int, int] | None:
    """Parameters and bytes of the visual teacher's weights; None where there is no teacher."""
    report = run.folder("teacher") / "report.json"
    if not report.is_file():
        return None
    return read_json(report)["parameters"], (run.folder("teacher") / "student.safetensors").stat().st_size


def gain_lines(verdict: dict[str, Any]) -> list[tuple[str, bool]]:
    """Whether the distilled student beats plain training and its base on test, from the very images: lines, each with
    whether it is a warning."""
    plain, base = verdict["plain"], verdict["base"]
    subject, lines = "the student", []
    if verdict["distilled"] is not None:
        ships = "ships" if verdict["passed"] else "is the one that was judged"
        lines.append((f"the plain student {ships}: {verdict['why']}", True))
        subject = "the distilled student, which does not ship,"
    if plain is not None:
        short = plain["epochs"] < plain["of"]
        other = f"plain training for {plain['epochs']} of {plain['of']} epochs" if short else "plain training"
        hint = "; student.baseline=full compares at the same budget" if short else ""
        words = gain_in_words(subject, other, plain["gain"]["test"])
        worse = plain["gain"]["test"]["verdict"] == "worse" and verdict["distilled"] is None
        lines.append((f"on test: {words}{hint}", worse))
    if base is not None:
        other = f"its base, {base['name']} on rgb alone"
        lines.append((f"on test: {gain_in_words(subject, other, base['gain']['test'])}", False))
    return lines
