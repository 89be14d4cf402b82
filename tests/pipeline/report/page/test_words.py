from pathlib import Path

import pytest

pytest.importorskip("torch")

from exporters.core.files import read_json, write_json
from pipeline.recipe import load_recipe
from pipeline.report.page.facts import read_facts
from pipeline.report.page.words import Words, recipe_rows, words
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES
from tests.pipeline.conftest import CLASSES, Run


def told(run: Run) -> Words:
    recipe = load_recipe(run.recipe).recipe
    return words(read_facts(RunDirectory(run.directory), recipe), recipe, "runs/it", (10, 40), None)


def test_figures_are_those_of_the_files(finished: tuple[Run, object]) -> None:
    run, found = finished[0], told(finished[0])
    verdict = read_json(run.directory / "validate" / "verdict.json")
    test = verdict["student"]["chosen"]["test"]
    assert found.verdict == "Shipped"
    assert f"right on {100 * test['top1']:.2f} % of {test['images']} test images" in found.why[0]
    classes = {row[0]: row[2] for row in found.tables["classes"].rows}
    assert classes == {name: f"{100 * share:.1f}" for name, share in verdict["student"]["per_class_test"].items()}
    assert set(classes) == {name.replace("_", " ") for name in CLASSES}
    whole = read_json(run.directory / "parity" / "parity.json")["fp32"]["whole"]
    assert found.tables["parity"].rows[0][:3] == ["model.onnx", "shipped", f"{100 * whole['top1_agreement']:.3f}"]
    done = [stage.name for stage in STAGES if run.record(stage.name)["status"] == "done"]
    assert [row[0] for row in found.tables["stages"].rows] == done


def test_every_table_is_as_wide_as_its_columns(finished: tuple[Run, object]) -> None:
    for table in told(finished[0]).tables.values():
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.title


def test_refusal_says_why_and_how_to_go_on(run: Run) -> None:
    record = read_json(run.directory / "stages" / "validate.json")
    write_json(
        run.directory / "stages" / "validate.json",
        record | {"status": "failed", "gate": True, "message": "the student does not pass: validate.min_top1"},
    )
    found = told(run)
    assert found.verdict == "Refused: a gate failed"
    assert "validate.min_top1" in found.why[0]
    assert found.commands[0] == ("go on", "tmkd-pipeline run runs/it/recipe.lock.yaml --run-dir runs/it")


def test_unfinished_run_says_what_is_next(tmp_path: Path, tiny_recipe: Path) -> None:
    found = told(Run(tiny_recipe, tmp_path, tmp_path / "none"))
    assert (found.verdict, found.why) == ("Not finished", ["Done: nothing. Next: data."])
    assert set(found.tables) == {"recipe"}


def test_recipe_lists_what_is_not_at_its_default(tiny_recipe: Path) -> None:
    rows = {key: (value, default) for key, value, default in recipe_rows(load_recipe(tiny_recipe).recipe)}
    assert rows["seed"] == ("3", "0")
    assert rows["train.epochs"][0] == "2"
    assert rows["teacher.visual.fit.views"] == ("false", rows["teacher.visual.fit.views"][1])
    assert rows["validate.min_top1"] == ("0.0", "null")
    assert "data.augment.flip" not in rows and "train.batch_size" in rows
