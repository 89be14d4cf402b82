import pytest

pytest.importorskip("torch")

from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from pipeline.report.page.facts import read_facts
from pipeline.report.page.table import Table
from pipeline.report.page.tables import tables
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES
from tests.pipeline.conftest import CLASSES, Run


def made(run: Run) -> dict[str, Table]:
    recipe = load_recipe(run.recipe).recipe
    return dict(tables(read_facts(RunDirectory(run.directory), recipe), recipe, (10, 40), None))


def test_figures_are_those_of_the_files(finished: tuple[Run, object]) -> None:
    run, found = finished[0], made(finished[0])
    verdict = read_json(run.directory / "validate" / "verdict.json")
    classes = {row[0]: row[2] for row in found["classes"].rows}
    assert classes == {name: f"{100 * share:.1f}" for name, share in verdict["student"]["per_class_test"].items()}
    assert set(classes) == {name.replace("_", " ") for name in CLASSES}
    whole = read_json(run.directory / "parity" / "parity.json")["fp32"]["whole"]
    assert found["parity"].rows[0][:3] == ["model.onnx", "shipped", f"{100 * whole['top1_agreement']:.3f}"]
    done = [stage.name for stage in STAGES if run.record(stage.name)["status"] == "done"]
    assert [row[0] for row in found["stages"].rows] == done


def test_every_table_is_as_wide_as_its_columns(finished: tuple[Run, object]) -> None:
    for table in made(finished[0]).values():
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.title
