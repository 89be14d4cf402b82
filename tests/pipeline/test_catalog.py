"""The recipes that ship, by name."""

from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.catalog import class_sets, clip_models, configs_directory, find_recipe, prompt_names, recipe_names
from pipeline.recipe.reading.load import load_recipe


def test_core_recipes_models_and_prompts_ship() -> None:
    assert {"quickstart", "cub_mobilenet"} <= set(recipe_names())
    assert "tiny" in clip_models()
    assert {"birds", "generic"} <= set(prompt_names())
    assert {"cifar10", "imagenet"} <= set(class_sets())


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_is_named_as_its_file(name: str) -> None:
    assert load_recipe(name).recipe.name == name


@pytest.mark.parametrize("source", ["quickstart", "quickstart.yaml", "recipes/quickstart", "recipes/quickstart.yaml"])
def test_a_shipped_recipe_is_found_from_anywhere(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe(source) == configs_directory() / "recipes" / "quickstart.yaml"


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/quickstart.yaml").write_text("name: mine\n")
    assert load_recipe("recipes/quickstart.yaml").recipe.name == "mine"


def test_unknown_recipe_suggests_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe("recipes/quikstart.yml")
    assert "recipes/quikstart.yml" in caught.value.message
    assert "quickstart" in caught.value.message
    assert "tmkd-pipeline recipes list" in str(caught.value.remedy)


@pytest.mark.parametrize("source", ["", ".", "a" * 5000, "a\0b", "../recipes/quickstart", "recipes/../../pyproject"])
def test_invalid_recipe_source_is_a_usage_error(source: str) -> None:
    with pytest.raises(UsageError):
        find_recipe(source)


def test_misspelt_file_suggests_its_neighbour(tmp_path: Path) -> None:
    for name in ("photos.yaml", "other.yaml", "photos.txt"):
        (tmp_path / name).touch()
    for slip in ("photos.yml", "fotos.yaml"):
        with pytest.raises(UsageError, match=r"no such file.*Did you mean \S*/photos\.yaml\?\n"):
            find_recipe(str(tmp_path / slip))
    with pytest.raises(UsageError, match=r"of that name\.\n"):
        find_recipe(str(tmp_path / "nowhere" / "photos.yaml"))


def test_cub_recipe_has_the_published_settings() -> None:
    recipe = load_recipe("cub_mobilenet").recipe
    assert (recipe.data.image_size, recipe.data.resize_to, recipe.data.augment.crop) == (224, 256, "random")
    assert (recipe.train.batch_size, recipe.train.epochs, recipe.train.lr) == (64, 240, 0.01)
    assert recipe.train.schedule.milestones == (150, 180, 210)


def test_quickstart_needs_no_download() -> None:
    recipe = load_recipe("quickstart").recipe
    assert recipe.data.dataset == "birds_demo"
    assert recipe.teacher.visual.weights == recipe.student.weights == "none"
    assert recipe.teacher.text.weights == "fit"


def test_folder_of_images_leads_to_train_and_folder_of_a_run_to_its_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    (folder / "cat").mkdir(parents=True)
    with pytest.raises(UsageError, match="got a folder") as images:
        find_recipe(str(folder))
    assert f"`tmkd-pipeline train '{folder}'`" in str(images.value.remedy)
    (folder / "recipe.lock.yaml").write_text("")
    with pytest.raises(UsageError, match="got a folder") as run:
        find_recipe(str(folder))
    assert str(folder / "recipe.lock.yaml") in str(run.value.remedy)
