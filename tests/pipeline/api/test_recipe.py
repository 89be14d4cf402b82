"""`load_recipe` from Python: names, paths and values, what is changed in them, and every mistake at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from exporters.core.errors import UsageError
from pipeline import load_recipe
from pipeline.api.recipe import changes_of, checked
from pipeline.recipe import load_recipe as read


def test_recipe_by_name_with_overrides_is_that_of_the_command_line() -> None:
    overrides = {"train.epochs": 3, "distill.views": {"edge": {"strength": 0.5}}, "train.lr": 1e-05, "name": "5"}
    recipe = load_recipe("quickstart", overrides=overrides)
    texts = ["train.epochs=3", "distill.views={edge: {strength: 0.5}}", "train.lr=1e-05", "name=5"]
    assert recipe.settings == read("quickstart", texts).recipe
    assert recipe.name == "5" and recipe.settings.train.epochs == 3
    assert recipe.to_yaml() == recipe.settings.to_yaml()


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("train.epochs", 3, "train.epochs=3"),
        ("data.root", "true", "data.root=true"),
        ("seed", "3", 'seed="3"'),
        ("validate.max_ece", None, "validate.max_ece=null"),
        ("distill.views", {"edge": {"strength": 0.5}}, 'distill.views={"edge": {"strength": 0.5}}'),
    ],
)
def test_override_can_be_typed_on_the_command_line(key: str, value: object, text: str) -> None:
    (change,) = changes_of({key: value})
    assert (change.text, change.value) == (text, value)


def test_values_are_a_recipe_as_a_file_is(tiny_recipe: Path) -> None:
    values: dict[str, Any] = yaml.safe_load(tiny_recipe.read_text())
    recipe = load_recipe(values | {"data": values["data"] | {"root": Path(values["data"]["root"])}})
    assert recipe.settings == read(tiny_recipe).recipe
    del values["name"]
    unnamed = load_recipe({"extends": "base/tmkd", **values})
    assert unnamed.name == "recipe" and unnamed.loaded.sha256 != recipe.loaded.sha256


def test_all_mistakes_come_in_one_error_that_says_where_each_is() -> None:
    with pytest.raises(UsageError) as refused:
        load_recipe(
            {"train": {"epochs": "many"}, "studnet": 1, "extends": "base/nope"},
            overrides={"train.lr": -1, "a=b": 1, "train.epoch": 2, "extends": "x", "": 1},
        )
    lines = refused.value.message.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "recipe", "recipe", "recipe", "overrides a=b=1", 'overrides extends="x"', "overrides =1",
        "overrides train.lr=-1", "overrides train.epoch=2",
    ]  # fmt: skip
    assert lines[0] == "recipe: train.epochs: expected an integer ≥ 1 and ≤ 100000, got 'many'"
    assert "did you mean student?" in lines[1] and "did you mean train.epochs?" in lines[-1]
    with pytest.raises(UsageError, match=r"overrides: expected a dictionary .* got list"):
        load_recipe("quickstart", overrides=["train.epochs=3"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Did you mean quickstart"):
        load_recipe("quickstrat")


def test_mistake_of_a_file_keeps_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\ntrain: {lr: -1}\n")
    with pytest.raises(UsageError, match=r"bad\.yaml:2:9: train\.lr: expected"):
        load_recipe(path)


def test_repr_says_where_it_comes_from_and_what_was_changed(tiny_recipe: Path) -> None:
    assert repr(load_recipe(tiny_recipe, overrides={"train.epochs": 3})) == (
        f"<recipe tiny from {tiny_recipe}, train.epochs=3>"
    )
    assert repr(load_recipe({"name": "mine"})) == "<recipe mine from keys and values>"


def test_checked_takes_what_load_recipe_takes(tiny_recipe: Path) -> None:
    recipe = load_recipe(tiny_recipe)
    assert checked(recipe) is recipe and checked(tiny_recipe).settings == recipe.settings
