"""One function trains every student: what it gives follows from the recipe, and not from the stage that asks."""

import json
from dataclasses import replace

import numpy as np
from safetensors.numpy import load_file

from exporters.core.files import read_json
from pipeline.stages.shared.student_training import train_student
from tests.pipeline.conftest import Run
from tests.pipeline.stages.contexts import context_of


def test_another_stage_trains_the_same_student_bit_for_bit(run: Run) -> None:
    before = load_file(run.directory / "distill" / "final" / "student.safetensors")
    context = context_of(run)
    folder = context.run.folder("elsewhere") / "again"
    summary = train_student(context, "elsewhere/again", folder)
    for which in ("chosen", "final"):
        ours = load_file(folder / which / "student.safetensors")
        theirs = load_file(run.directory / "distill" / which / "student.safetensors")
        assert all(np.array_equal(ours[key], theirs[key]) for key in before)
    history = read_json(folder / "history.json")
    assert history == read_json(run.directory / "distill" / "history.json")
    assert summary["validation_top1"] == max(row["validation_top1"] for row in history["epochs"])
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["stage"] == "elsewhere/again"] == [1, 2]
    assert not (folder / "checkpoint.pt").exists()


def test_recipe_of_the_context_decides_what_is_trained(run: Run) -> None:
    context = context_of(run)
    plain = context_of(run, distill__method="ce", train__epochs=1).recipe
    folder = context.run.folder("plain")
    train_student(replace(context, recipe=plain), "plain", folder)
    (row,) = read_json(folder / "history.json")["epochs"]
    assert {key for key in row if key.startswith("loss")} == {"loss", "loss_ce"}
