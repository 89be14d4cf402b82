"""The commands `recipes list`, `recipes show` and `recipes copy`."""

from pathlib import Path

import pytest
import yaml

from pipeline.catalog import find_recipe, recipe_names
from pipeline.commands import recipes as commands_recipes
from pipeline.recipe import load_recipe
from tests.pipeline.conftest import assert_one_clear_error, run_command, write

SHIPPED = tuple(recipe_names())


def test_recipes_are_listed_shown_and_copied(tmp_path: Path) -> None:
    listed = run_command("recipes", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == list(SHIPPED)
    assert all(len(line.split()) > 3 for line in listed)
    text = find_recipe("quickstart").read_text()
    assert run_command("recipes", "show", "quickstart").out == text

    outcome = run_command("recipes", "copy", "quickstart", tmp_path)
    assert outcome.code == 0 and (tmp_path / "quickstart.yaml").read_text() == text
    assert f"tmkd-pipeline run {tmp_path / 'quickstart.yaml'}" in outcome.out
    outcome = run_command("recipes", "copy", "recipes/cub_mobilenet.yaml", tmp_path / "mine.yaml")
    assert outcome.code == 0 and load_recipe(tmp_path / "mine.yaml").recipe.name == "mine"


def test_list_wraps_between_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_recipes, "_is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = run_command("recipes", "list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(SHIPPED)
    monkeypatch.undo()
    assert " ".join(" ".join(lines).split()) == " ".join(run_command("recipes", "list").out.split())


def test_copy_contains_what_the_recipe_extends(tmp_path: Path) -> None:
    assert run_command("recipes", "show", "cub_mobilenet").out == find_recipe("cub_mobilenet").read_text()
    assert run_command("recipes", "copy", "cub_mobilenet", tmp_path / "mine.yaml").code == 0
    text = (tmp_path / "mine.yaml").read_text()
    assert "extends" not in yaml.safe_load(text) and "# A MobileNetV2 for the 200" in text.splitlines()[0]
    copied, original = load_recipe(tmp_path / "mine.yaml").recipe, load_recipe("cub_mobilenet").recipe
    assert copied.resolved() == original.resolved() | {"name": "mine"}


def test_copy_overwrites_nothing(tmp_path: Path) -> None:
    own = write(tmp_path / "quickstart.yaml", "mine")
    for target in (tmp_path, own):
        outcome = run_command("recipes", "copy", "quickstart", target)
        assert_one_clear_error(outcome, 2)
        assert str(own) in outcome.err and "exists already" in outcome.err and own.read_text() == "mine"
    assert_one_clear_error(run_command("recipes", "copy", "nothing", tmp_path), 2)
