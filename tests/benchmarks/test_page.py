"""The benchmark of the page builds what a page is made of, and tells whether the bounds are kept."""

from pathlib import Path

import numpy as np

from benchmarks.page import draw_images, drawn_answers, recipe_of
from pipeline.recipe.schema.recipe import Recipe
from tests.pipeline.report.page.made_up import index_of


def test_images_are_as_many_as_asked_for(tmp_path: Path) -> None:
    folder = draw_images(tmp_path, classes=3, test=7, pixels=16)
    assert {split: len(list((folder / split).rglob("*.jpg"))) for split in ("train", "val", "test")} == {
        "train": 6, "val": 3, "test": 7,
    }  # fmt: skip


def test_recipe_is_valid() -> None:
    recipe = Recipe.model_validate(recipe_of(Path("images"), 32))
    assert recipe.distill.method == "tmkd" and recipe.student.model == "mobilenet_v2"


def test_drawn_answers_are_scored_as_they_are() -> None:
    index = index_of([f"class {number}" for number in range(5)], np.repeat(np.arange(5), 20))
    verdict, predictions = drawn_answers(index)
    right = predictions["chosen.test"] == predictions["labels.test"]
    assert verdict["student"]["chosen"]["test"]["top1"] == right.mean() and 0.2 < right.mean() < 1
    assert set(verdict["student"]["per_class_test"]) == set(index.classes)
