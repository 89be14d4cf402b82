"""Mutants of a file are tried against its mirrored tests, and nothing of the repository is written to."""

import tomllib
from pathlib import Path

import pytest

from tests.mutation import files_of, workplace
from tests.mutation.settings import PARTS, REPOSITORY, Part

SOURCE = "pipeline/tmkd/fusion.py"
PART = PARTS["pipeline/tmkd"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(workplace, "WORK", tmp_path)
    assert workplace.make(PART, SOURCE)
    return tmp_path / SOURCE


def test_all_but_the_source_file_is_linked(work: Path) -> None:
    folder = work / "mutants/pipeline/tmkd"
    assert not folder.is_symlink()
    assert not (folder / "fusion.py").exists()
    assert (folder / "weighting.py").resolve() == REPOSITORY / "pipeline/tmkd/weighting.py"
    assert (work / "mutants/tests").resolve() == REPOSITORY / "tests"
    assert not (work / "mutants/pyproject.toml").exists(), "mutmut would write through the link"


def test_only_the_mirrored_tests_are_selected(work: Path) -> None:
    settings = tomllib.loads((work / "pyproject.toml").read_text())
    assert settings["tool"]["mutmut"]["source_paths"] == [SOURCE]
    assert settings["tool"]["mutmut"]["pytest_add_cli_args_test_selection"] == ["tests/pipeline/tmkd/test_fusion.py"]
    assert settings["tool"]["pytest"]["ini_options"]["addopts"]


def test_survivors_are_tried_again_after_a_change_of_the_tests(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = workplace.meta_of(SOURCE)
    meta.write_text('{"exit_code_by_key": {"killed": 1, "survived": 0, "timeout": -24}}')
    assert not workplace.make(PART, SOURCE), "all is known"
    monkeypatch.setattr(workplace, "_read_by_tests", lambda tests: [Path(__file__)])
    assert workplace.make(PART, SOURCE)
    assert meta.read_text() == '{"exit_code_by_key": {"killed": 1, "survived": null, "timeout": null}}'


def test_other_settings_begin_anew(work: Path) -> None:
    workplace.meta_of(SOURCE).write_text('{"exit_code_by_key": {"killed": 1}}')
    assert workplace.make(Part(files=PART.files, left_out=("tests/pipeline/tmkd/test_fusion.py::test_x",)), SOURCE)
    assert not workplace.meta_of(SOURCE).exists()


def test_each_part_has_files_with_tests() -> None:
    for part in PARTS.values():
        assert files_of(part)
        assert all((REPOSITORY / test).is_file() for tests in part.also.values() for test in tests)
