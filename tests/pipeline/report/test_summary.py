import io
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from exporters.core.files import read_json, write_json
from pipeline.console import Console
from pipeline.recipe import load_recipe
from pipeline.report.summary import show_summary
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import Run


def shown(run: Run) -> str:
    out = io.StringIO()
    show_summary(RunDirectory(run.directory), load_recipe(run.recipe).recipe, Console(out, plain=True))
    return out.getvalue()


def rows(text: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return {row[0]: row[1:] for row in cells}


def edit(run: Run, name: str, change: Any) -> None:
    value = read_json(run.directory / name)
    change(value)
    write_json(run.directory / name, value)


def test_sizes_are_those_of_the_files(run: Run) -> None:
    table = rows(shown(run))
    weights = (run.directory / "teacher" / "student.safetensors").stat().st_size
    model = (run.directory / "bundle" / "model.onnx").stat().st_size
    parameters = read_json(run.directory / "teacher" / "report.json")["parameters"]
    assert table["teacher, view rgb"][2:] == [f"{parameters:,}", f"{weights / 1e6:.2f} MB"]
    assert table["teacher, view edge"][2:] == ["", ""]
    assert next(row for name, row in table.items() if "ships" in name)[3] == f"{model / 1e6:.2f} MB"


def test_without_a_teacher_there_are_only_the_students(run: Run) -> None:
    edit(run, "validate/verdict.json", lambda verdict: verdict.update(teacher=None))
    assert [name for name in rows(shown(run)) if name.startswith("teacher")] == []


def test_one_view_is_not_fused(run: Run) -> None:
    def one_view(verdict: dict[str, Any]) -> None:
        for split in ("validation", "test"):
            verdict["teacher"][split]["views"] = {"rgb": 0.5}

    edit(run, "validate/verdict.json", one_view)
    table = rows(shown(run))
    assert [name for name in table if name.startswith("teacher")] == ["teacher, view rgb"]
    # 95 % Wilson intervals of 6 in 12 and of 12 in 24.
    assert table["teacher, view rgb"][:2] == ["50.00 (25.4–74.6)", "50.00 (31.4–68.6)"]


def next_commands(run: Run) -> list[list[str]]:
    text = shown(run)
    return [shlex.split(line) for line in text[text.index("next:") :].splitlines()[1:]]


def test_the_next_commands_can_be_typed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(scripts))
    commands = next_commands(run)
    assert [command[:2] for command in commands[:2]] == [["tmkd-pipeline", "verify"], ["tmkd-pipeline", "predict"]]
    image = run.data / commands[1][3]
    assert image.is_file() and "test" in image.parts
    assert commands[2] == ["cat", str(run.directory / "bundle" / "MODEL_CARD.md")] and Path(commands[2][1]).is_file()
    # An environment that is not activated: by its path.
    monkeypatch.setenv("PATH", str(run.directory))
    script = next_commands(run)[0][0]
    assert (Path.cwd() / script).samefile(scripts / "tmkd-pipeline")


def test_without_image_files_no_prediction_is_suggested(run: Run) -> None:
    edit(run, "data/index.json", lambda index: index.update(store="shards"))
    assert [Path(command[0]).name for command in next_commands(run)] == ["tmkd-pipeline", "cat"]


def test_parity_and_seconds_are_shown(run: Run) -> None:
    text = shown(run)
    whole = read_json(run.directory / "parity" / "parity.json")["fp32"]["whole"]
    assert f"parity on 12 validation images: agreement {100 * whole['top1_agreement']:.3f} %" in text
    seconds = next(line for line in text.splitlines() if line.startswith("seconds: "))
    durations = dict(part.split() for part in seconds.removeprefix("seconds: ").split(", "))
    for stage, value in durations.items():
        assert float(value) == pytest.approx(run.record(stage)["seconds"])
    assert "teacher" in durations and "distill" in durations


def set_student(run: Run, correct: int) -> None:
    """Set how many of 640 test and 192 validation images, of 16 classes, the chosen student has right."""

    def change(verdict: dict[str, Any]) -> None:
        for split, images in (("validation", 192), ("test", 640)):
            top1 = correct / 640
            entry = {"images": images, "correct": round(top1 * images), "top1": top1, "chance": 1 / 16}
            verdict["student"]["chosen"][split].update(entry)

    edit(run, "validate/verdict.json", change)


def test_likelihood_calibration_and_corruptions_have_a_line(run: Run) -> None:
    def measured(verdict: dict[str, Any]) -> None:
        verdict["student"]["chosen"]["test"] |= {"nll": 0.8123, "ece": 0.0412}

    edit(run, "validate/verdict.json", measured)
    assert "student on test: NLL 0.812 nats, calibration error 4.12 %\n" in shown(run)
    diverged = {"nll": 1.2e22, "ece": 0.0412}
    edit(run, "validate/verdict.json", lambda verdict: verdict["student"]["chosen"]["test"].update(diverged))
    assert "student on test: NLL 1.2e+22 nats" in shown(run)
    edit(run, "validate/verdict.json", lambda verdict: verdict.update(corruptions={"mean_top1": 0.5}))
    assert "calibration error 4.12 %, top-1 on corrupted images 50.00 %\n" in shown(run)


def test_each_accuracy_has_its_interval_and_the_images_are_counted(run: Run) -> None:
    set_student(run, 430)
    text = shown(run)
    (row,) = (row for name, row in rows(text).items() if "ships" in name)
    # By SciPy: binomtest(129, 192) and binomtest(430, 640), proportion_ci(method="wilson").
    assert row[:2] == ["67.19 (60.3–73.4)", "67.19 (63.5–70.7)"]
    assert "192 validation images chose the epoch and decided the gates; 640 test images decided nothing" in text
    assert "at chance level" not in text and "verify" in text


def test_a_student_at_chance_level_does_not_read_as_a_success(run: Run) -> None:
    set_student(run, 52)
    text = shown(run)
    last = text[text.index("WARNING: the student is at chance level: ") :]
    # binomtest(52, 640): 6.2 to 10.5 %, and 6.25 % is inside.
    assert "8.12 % (95 % interval 6.2 to 10.5) on 640 test images" in last
    assert "always answering the commonest class gives 6.25 %. Do not use this bundle" in last
    assert " verify " not in last and " predict " not in last and "data inspect" in last


def test_too_few_images_are_no_reason_to_throw_a_bundle_away(run: Run) -> None:
    few = {"images": 12, "correct": 6, "top1": 0.5, "chance": 1 / 3}  # 25.4 to 74.6 %

    def change(verdict: dict[str, Any]) -> None:
        verdict["student"]["chosen"]["test"] |= few

    set_student(run, 430)
    edit(run, "validate/verdict.json", change)
    text = shown(run)
    assert (
        "WARNING: so few images cannot show whether the student is better than chance: 50.00 % (95 % interval 25.4 to"
        " 74.6) on 12 test images"
    ) in text
    assert "Do not use this bundle" not in text and " verify " in text and " predict " in text


def test_diverged_student_is_a_warning_of_its_own(run: Run) -> None:
    set_student(run, 430)
    assert "WARNING" not in shown(run)
    edit(run, "validate/verdict.json", lambda verdict: verdict.update(faults=["the student says nothing"]))
    assert "WARNING: on test, the student says nothing. Look at the losses (metrics.jsonl), and lower" in shown(run)


def score_of(top1: float) -> dict[str, Any]:
    return {split: {"images": 200, "top1": top1} for split in ("validation", "test")}


def gain_of(mean: float, low: float, high: float) -> dict[str, Any]:
    verdict = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
    gain = {"mean": mean, "interval": [low, high], "verdict": verdict}
    return {"gain": {"validation": gain, "test": gain}}


def test_plain_training_and_base_have_a_row_and_a_sentence_each(run: Run) -> None:
    plain = {**score_of(0.5), **gain_of(0.04, 0.01, 0.07), "epochs": 3, "of": 30}
    base = {**score_of(0.6), **gain_of(-0.01, -0.04, 0.02), "name": "cat_kd+kd"}
    edit(run, "validate/verdict.json", lambda verdict: verdict.update(plain=plain, base=base))
    text = shown(run)
    table = rows(text)
    # 95 % Wilson intervals of 100 and of 120 in 200.
    assert table["plain training, 3 of 30 epochs"][:2] == ["50.00 (43.1–56.9)"] * 2
    assert table["base: cat_kd+kd on rgb alone"][:2] == ["60.00 (53.1–66.5)"] * 2
    assert (
        "on test: the student beats plain training for 3 of 30 epochs by 4.00 points (paired 95 % interval +1.00 to"
        " +7.00); student.baseline=full compares at the same budget"
    ) in text
    assert "on test: the student cannot be told from its base, cat_kd+kd on rgb alone: -1.00 points" in text
    assert "WARNING" not in text


def test_student_below_plain_training_is_a_warning(run: Run) -> None:
    plain = {**score_of(0.9), **gain_of(-0.2, -0.3, -0.1), "epochs": 30, "of": 30}
    edit(run, "validate/verdict.json", lambda verdict: verdict.update(plain=plain))
    text = shown(run)
    assert "plain training" in rows(text)
    assert "WARNING: on test: the student is WORSE than plain training by 20.00 points" in text


def test_plain_student_that_ships_is_called_so(run: Run) -> None:
    plain = {**score_of(0.9), **gain_of(-0.2, -0.3, -0.1), "epochs": 30, "of": 30}
    fallen = {"plain": plain, "distilled": score_of(0.7), "ships": "plain", "why": "trained from labels alone, because"}
    edit(run, "validate/verdict.json", lambda verdict: verdict.update(fallen))
    text = shown(run)
    assert {"distilled student (does not ship)", "plain student, last epoch"} <= set(rows(text))
    assert "plain training" not in rows(text)  # it has rows of its own
    assert "WARNING: the plain student ships: trained from labels alone, because" in text
    assert "the distilled student, which does not ship, is WORSE than plain training" in text


def test_chance_level_stands_in_the_table(run: Run) -> None:
    assert rows(shown(run))["chance level (the commonest class)"][:2] == ["33.33", "33.33"]
