"""Paths in recipes."""

from pathlib import Path

import pytest

from exporters.core.files import sha256_file
from pipeline.catalog import recipe_names
from pipeline.preflight import files
from pipeline.preflight.files import named_paths, unusable_paths
from pipeline.recipe import load_recipe
from pipeline.stages.registry import STAGE_NAMES
from tests.pipeline.preflight.conftest import Prospect

PATHS = {
    "teacher.visual.weights": ("missing/a.pth", "teacher"),
    "student.weights": ("missing/b.safetensors", "distill"),
    "teacher.text.weights": ("missing/c.npz", "text"),
    "teacher.text.model": ("missing/d.json", "text"),
    "teacher.text.prompts": ("missing/e.yaml", "text"),
    "teacher.text.class_names": ("missing/f.yaml", "text"),
    "teacher.text.anchors": ("missing/g.npz", "distill"),
}


def test_weights_of_a_tower_and_its_anchors_are_read_by_the_stage_text(tiny_recipe: Path) -> None:
    tower = "teacher.text.tower={model: resnet18, weights: missing/t.pth}"
    recipe = load_recipe(tiny_recipe, [tower, "teacher.text.anchors=missing/g.npz"]).recipe
    found = {named.key: error.message for named, error in unusable_paths(recipe, ["text"])}
    assert set(found) == {"teacher.text.tower.weights", "teacher.text.anchors"}
    assert "missing/t.pth does not exist" in found["teacher.text.tower.weights"]


@pytest.mark.parametrize("key", PATHS)
def test_missing_file_is_reported_for_each_key(key: str, tiny_recipe: Path) -> None:
    text, stage = PATHS[key]
    weighting = ["distill.weighting.by=text"] if key == "teacher.text.weights" else []
    recipe = load_recipe(tiny_recipe, [f"{key}={text}", *weighting]).recipe
    ((named, error),) = unusable_paths(recipe, STAGE_NAMES)
    assert named.key == key and stage in named.stages and not named.prepared
    assert error.exit_code == 4 and error.message.startswith(f"{key}: {text} does not exist (looked in ")
    assert not list(unusable_paths(recipe, {"data", "export"}))


def test_shipped_names_are_not_taken_for_paths() -> None:
    for name in recipe_names():
        recipe = load_recipe(name).recipe
        mentioned = {"data.root", "teacher.visual.weights"} if name == "cifar10_resnet20" else {"data.root"}
        assert {named.key for named in named_paths(recipe)} <= mentioned


def test_a_table_of_labels_lies_below_the_root(tiny_recipe: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["data.labels=labels.csv"]).recipe
    ((named, error),) = unusable_paths(recipe, ["data"])
    assert named.key == "data.labels" and f"{recipe.data.root}/labels.csv does not exist" in error.message


def test_a_data_set_is_found_in_another_unicode_form(tiny_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301").mkdir()
    (tmp_path / "cafe\u0301" / "u\u0308.csv").touch()
    overrides = [f"data.root={tmp_path}/caf\u00e9", "data.labels=\u00fc.csv"]
    assert not list(unusable_paths(load_recipe(tiny_recipe, overrides).recipe, ["data"]))


@pytest.mark.parametrize(("folder", "expected"), [(True, "is a folder, not a file"), (False, "cannot be looked at")])
def test_unusable_path_is_refused(folder: bool, expected: str, prospect: Prospect, tmp_path: Path) -> None:
    path = tmp_path / ("weights.pth" if folder else "x" * 300 + ".pth")
    if folder:
        path.mkdir()
    report = prospect.report(files.check, f"student.weights={path}")
    (error,) = report.errors
    assert expected in error.message


def test_a_hash_is_compared_before_anything_runs(prospect: Prospect, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something")
    right = f"student.sha256={sha256_file(path)}"
    assert not prospect.report(files.check, f"student.weights={path}", right).errors
    report = prospect.report(files.check, f"student.weights={path}", f"student.sha256={'a' * 64}")
    (error,) = report.errors
    assert error.message.startswith(f"student.weights: {path}: not the weights that the recipe means")
