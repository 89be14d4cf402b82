from pathlib import Path

import pytest

from pipeline.costs.counts import Counts
from pipeline.costs.storage import bytes_of
from tests.pipeline.costs.recipes import KINDS, small_recipe

COUNTS = Counts(train=1000, validation=200, test=300, classes=10)
PARAMETERS = {"student": 100, "teacher": 5000, "clip": 40000}


def test_cache_is_rows_of_all_images_in_each_epoch_of_its_cycle(tmp_path: Path) -> None:
    cached = bytes_of(small_recipe(tmp_path), COUNTS, PARAMETERS, cache_row=64)
    cold = bytes_of(small_recipe(tmp_path, *KINDS["cold"]), COUNTS, PARAMETERS, cache_row=64)
    assert cached["distill"] - cold["distill"] == 4 * 1000 * 64
    assert cold["distill"] == 3 * 3 * 400  # two checkpoints, and one that is being written
    race = bytes_of(small_recipe(tmp_path, *KINDS["race"]), COUNTS, PARAMETERS, cache_row=64)
    assert race["race"] == 4 * 1000 * 64 and race["distill"] == 9 * 400


def test_whole_images_that_clip_looks_at_are_a_row_each_whatever_the_cycle(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, *KINDS["whole images"])
    found = (bytes_of(recipe, COUNTS, PARAMETERS, 64, seen_row)["distill"] for seen_row in (100, 0))
    assert next(found) - next(found) == 1000 * 100


@pytest.mark.parametrize(
    ("fit", "copies"),
    [("null", 1), ("{epochs: 2, optimizer: adamw}", 12), ("{epochs: 2, optimizer: sgd, ema: 0.9}", 12)],
)
def test_teacher_that_is_fitted_has_checkpoints(tmp_path: Path, fit: str, copies: int) -> None:
    recipe = small_recipe(tmp_path, "teacher.visual.weights=imagenet", f"teacher.visual.fit={fit}")
    assert bytes_of(recipe, COUNTS, PARAMETERS, 0)["teacher"] == copies * 4 * 5000
