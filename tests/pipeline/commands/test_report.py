import pytest

from tests.pipeline.conftest import Run, assert_one_clear_error, run_command


def test_help_needs_no_torch_and_names_the_page() -> None:
    outcome = run_command("report", "--help")
    assert outcome.code == 0 and "RUN_DIR/report.html" in outcome.out


@pytest.mark.parametrize("folder", ["empty", "none"])
def test_folder_that_is_no_run_is_one_clear_error(tmp_path, folder: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    assert_one_clear_error(run_command("report", tmp_path / folder), 2)


def test_damaged_recipe_is_one_clear_error(run: Run) -> None:
    (run.directory / "recipe.lock.yaml").write_text("data: [")
    assert_one_clear_error(run_command("report", run.directory), 2)
