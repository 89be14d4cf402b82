from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.core.files import write_json
from pipeline.comparison.analysis import analyse
from pipeline.comparison.arms import Source, make_arms
from pipeline.comparison.planned import (
    PLAN,
    RESULT,
    folder_name,
    is_comparison,
    make_comparison,
    planned,
    read_planned,
    read_results,
    run_name,
)
from pipeline.comparison.report import to_json
from tests.pipeline.comparison.making import make_folder


def test_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    source = Source("quickstart")
    arms = make_arms(source, ["ce", "tmkd"], ["kd"])
    plan = planned(source.load(), arms, range(2), ["tmkd-pipeline", "compare", "a recipe.yaml"])
    plan.write(tmp_path)
    assert is_comparison(tmp_path) and read_planned(tmp_path) == plan
    assert plan.command == "tmkd-pipeline compare 'a recipe.yaml'" and plan.seeds == (0, 1)
    assert [(arm.name, arm.reference) for arm in plan.arms] == [("ce", None), ("kd", "ce"), ("tmkd on kd", "kd")]
    assert plan.arms[1].settings == {"distill.method": "kd"}


def test_comparison_without_a_plan_is_read_from_its_result(tmp_path: Path) -> None:
    plan = make_folder(tmp_path / "cmp")
    folder = tmp_path / "cmp"
    every = {(arm.name, seed) for arm in plan.arms for seed in plan.seeds}
    comparison = make_comparison(folder, plan, read_results(folder, plan, every), ["weak"])
    write_json(folder / RESULT, to_json(comparison, analyse(comparison)))
    (folder / PLAN).unlink()
    assert is_comparison(folder) and read_planned(folder) == plan


def test_results_are_those_of_finished_runs_and_arms_without_their_reference_stand_alone(tmp_path: Path) -> None:
    plan = make_folder(tmp_path / "cmp")
    results = read_results(tmp_path / "cmp", plan, {("kd", 1), ("tmkd on kd", 0)})
    assert [(arm.name, arm.reference, [seed.seed for seed in arm.seeds]) for arm in results] == [
        ("kd", None, [1]),
        ("tmkd on kd", None, [0]),
    ]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 99}', '{"format": 1, "arms": 3}'])
@pytest.mark.parametrize("name", [PLAN, RESULT])
def test_damaged_plan_is_one_clear_error(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError) as caught:
        read_planned(tmp_path)
    assert str(tmp_path / name) in caught.value.message and caught.value.remedy


def test_runs_of_different_arms_have_different_folders() -> None:
    assert folder_name("tmkd on cat_kd: no contrast") == "tmkd-on-cat_kd-no-contrast"
    assert run_name("cat_kd+kd", 3) == "runs/cat_kd-kd/seed-3"
