"""The command `data inspect`; `data prepare` is tested in tests/pipeline/data/prepare/test_prepare.py."""

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import run_command
from tests.pipeline.data.conftest import write_folders


def test_inspecting_the_working_directory_twice_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    first, second = (run_command("data", "inspect", "folder", "--root", ".") for _ in range(2))
    assert first.code == second.code == 0, second.err
    note = "left out: 1 folder written by tmkd-pipeline (inspect)"
    assert note not in first.out and note in second.out and "2 classes" in second.out


def test_contact_sheet_among_the_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "folder", "--root", ".", "--sheet", "a/sheet.png")
    assert outcome.code == 2 and "the sheet would be one of them" in outcome.err and not Path("a/sheet.png").exists()
    assert run_command("data", "inspect", "folder", "--root", ".", "--sheet", "sheet.png").code == 0
    assert run_command("data", "inspect", "folder", "--root", ".").code == 0


def test_classes_that_differ_only_in_case_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"Cat": 4, "cat": 4})
    monkeypatch.chdir(tmp_path)
    outcome = run_command("data", "inspect", "folder", "--root", ".")
    assert outcome.code == 0 and "the classes 'Cat' and 'cat' differ in case or blanks alone" in outcome.out


def test_inspect_takes_a_recipe(tiny_recipe: Path, tiny_data: Path, tmp_path: Path) -> None:
    outcome = run_command("data", "inspect", tiny_recipe, "--sheet", tmp_path / "s.png")
    assert outcome.code == 0, outcome.err
    assert (
        f"3 classes in {tiny_data}" in outcome.out and "0 of 84 images are smaller than data.image_size" in outcome.out
    )
    assert "the same image in several classes: 1" in outcome.out and "no image stands in two splits" in outcome.out
    other = run_command("data", "inspect", tiny_recipe, "--root", tmp_path / "absent", "--sheet", tmp_path / "s.png")
    assert other.code == 4 and "absent" in other.err


def test_inspect_takes_a_folder(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = tmp_path / "s.png"
    named = run_command("data", "inspect", "folder", "--root", tiny_data, "--json", "--sheet", sheet)
    outcome = run_command("data", "inspect", tiny_data, "--json", "--sheet", sheet)
    assert outcome.code == 0 and json.loads(outcome.out) == json.loads(named.out)
    outcome = run_command("data", "inspect", tiny_data, "--root", tmp_path)
    assert outcome.code == 2 and f"{tiny_data} is a folder already" in outcome.err
    # A data set's name stays one where a folder is called the same.
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, tmp_path / "cub200")
    outcome = run_command("data", "inspect", "cub200")
    assert outcome.code == 2 and "For the folder of that name here: ./cub200" in outcome.err
    assert run_command("data", "inspect", "./cub200", "--sheet", sheet).code == 0


def test_inspect_refuses_unknown_names(tmp_path: Path) -> None:
    outcome = run_command("data", "inspect", "cub20", "--root", tmp_path)
    assert outcome.code == 2 and "neither a folder nor a data set nor a recipe; did you mean cub200?" in outcome.err
    outcome = run_command("data", "inspect", "cub200")
    assert outcome.code == 2 and "--root DIR" in outcome.err
    assert run_command("data", "inspect", "x" * 5000).code == 2


def test_root_with_yaml_characters_is_read(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "a: b # [c]", {"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1})
    outcome = run_command("data", "inspect", "folder", "--root", root, "--sheet", tmp_path / "s.png")
    assert outcome.code == 0, outcome.err
