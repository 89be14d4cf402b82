"""Amounts against counting by hand: 100 training images in batches of 30 are 90 an epoch."""

from pathlib import Path

import pytest

from pipeline.costs.counts import Counts
from pipeline.costs.work import OPERATIONS, texts_of, work_of
from pipeline.recipe.needs import needs_teacher
from pipeline.stages.registry import STAGES
from pipeline.tmkd.prompts import Prompts
from pipeline.tmkd.views.views import Views
from tests.pipeline.costs.recipes import KINDS, small_recipe

COUNTS = Counts(train=100, validation=20, test=40, classes=10)


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_that_runs_has_work_and_no_other(tmp_path: Path, kind: str) -> None:
    recipe = small_recipe(tmp_path, *KINDS[kind])
    work = work_of(recipe, COUNTS, cached=True)
    assert set(work) == {stage.name for stage in STAGES if stage.skipped(recipe) is None}
    assert {operation for amounts in work.values() for operation in amounts} <= set(OPERATIONS)
    assert all(amount >= 0 for amounts in work.values() for amount in amounts.values())
    assert needs_teacher(recipe) == any("look" in amounts for amounts in work.values())


def test_plain_training_counts_steps_validation_and_one_decoding(tmp_path: Path) -> None:
    work = work_of(small_recipe(tmp_path, *KINDS["plain"]), COUNTS, cached=True)
    assert work["distill"] == {"decode": 110, "augment": 900, "prepare": 200, "plain": 900, "student": 200, "stage": 1}
    assert work["data"] == {"index": 160, "stage": 1}
    read_again = work_of(small_recipe(tmp_path, *KINDS["plain"]), COUNTS, cached=False)
    assert read_again["distill"]["decode"] == 1100


def test_cached_epochs_are_looked_at_once_and_read_ever_after(tmp_path: Path) -> None:
    distill = work_of(small_recipe(tmp_path), COUNTS, cached=True)["distill"]
    assert (distill["method"], distill["look"], distill["write"], distill["read"]) == (900, 360, 360, 540)


def test_cycle_longer_than_the_training_is_filled_as_far_as_it_gets(tmp_path: Path) -> None:
    distill = work_of(small_recipe(tmp_path, "distill.teacher_cache.passes=50"), COUNTS, cached=True)["distill"]
    assert (distill["look"], distill["read"]) == (900, 0)


@pytest.mark.parametrize("kind", ["cold", "stages"])
def test_without_a_cache_teachers_look_at_each_image_in_each_epoch(tmp_path: Path, kind: str) -> None:
    work = work_of(small_recipe(tmp_path, *KINDS[kind]), COUNTS, cached=True)
    assert work["distill"]["look"] == 900
    assert not {"read", "write"} & set(work["distill"])
    if kind == "cold":
        assert work["reference"]["teacher"] == 900


def test_teacher_is_measured_on_no_more_images_than_a_point_takes(tmp_path: Path) -> None:
    large = Counts(train=1_153_051, validation=128_116, test=50_000, classes=1000)
    fusion = work_of(small_recipe(tmp_path, *KINDS["cold"]), large, cached=False)["fusion"]
    assert fusion["look"] == fusion["decode"] == 1000 + 2 * 9600
    # Three of all views are expected to stay of a search, which needs 5,000 of the validation images in all of them.
    searched = small_recipe(tmp_path, *KINDS["searched views"])
    share = 3 / (1 + len(searched.distill.possible_views))
    fusion = work_of(searched, large, cached=False)["fusion"]
    assert fusion["look"] == pytest.approx(1000 + 5000 + share * (4600 + 9600))
    assert work_of(searched, COUNTS, cached=True)["fusion"]["look"] == pytest.approx(100 + 20 + share * 40)


def test_whole_images_are_seen_once_in_every_view(tmp_path: Path) -> None:
    distill = work_of(small_recipe(tmp_path, *KINDS["whole images"]), COUNTS, cached=True)["distill"]
    assert distill["clip"] == 300 and "clip" not in work_of(small_recipe(tmp_path), COUNTS, cached=True)["distill"]


def test_reference_reads_one_of_three_views(tmp_path: Path) -> None:
    reference = work_of(small_recipe(tmp_path, *KINDS["reference"]), COUNTS, cached=True)["reference"]
    assert (reference["base"], reference["read"]) == (900, 300)


def test_teachers_are_fitted_by_their_own_schedules(tmp_path: Path) -> None:
    work = work_of(small_recipe(tmp_path), COUNTS, cached=True)
    assert (work["teacher"]["teacher fit"], work["teacher"]["teacher"]) == (4 * 96, 4 * 20 + 20)
    # Features of three views once, an epoch on them costs no image; then prompts are tried on validation.
    assert (work["text"]["text fit"], work["text"]["features"], work["text"]["clip"]) == (5 * 96, 320, 60)
    assert work["text"]["views"] == 100 + 20
    asking = {stage for stage, amounts in work.items() if "teachers" in amounts}
    assert asking == {"fusion", "distill"}


def test_rungs_of_a_race_are_added_up_and_their_cache_serves_the_winner(tmp_path: Path) -> None:
    recipe = small_recipe(
        tmp_path, *KINDS["race"], "distill.auto.candidates=[kd, cat_kd, tmkd on kd]", "distill.auto.rungs=1"
    )
    work = work_of(recipe, COUNTS, cached=True)
    # One rung of round(10 / 3) epochs: plain training and three others.
    assert (work["race"]["plain"], work["race"]["method"]) == (270, 810)
    assert (work["race"]["look"], work["race"]["read"]) == (270, 540)
    assert (work["distill"]["look"], work["distill"]["read"]) == (90, 810)


def test_students_are_judged_on_images_that_are_decoded_once_where_they_fit_into_memory(tmp_path: Path) -> None:
    validate = {cached: work_of(small_recipe(tmp_path), COUNTS, cached=cached)["validate"] for cached in (True, False)}
    # The chosen student, the last one, and the plain one, on 20 + 40 images.
    assert {cached: work["decode"] for cached, work in validate.items()} == {True: 60, False: 180}
    assert validate[True]["student"] == validate[True]["prepare"] == 180


def test_texts_of_a_class_are_the_templates_of_all_views_and_a_random_one_each(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path)
    templates = Prompts.load(recipe.teacher.text.prompts)
    views = Views(recipe.distill.possible_views)
    texts = {text for name, kind in views.kinds.items() for text in templates.texts("finch", name, kind)}
    assert texts_of(recipe) == len(texts) + len(views)
    assert work_of(recipe, COUNTS, cached=True)["text"]["prompts"] == texts_of(recipe) * 10
    anchored = small_recipe(tmp_path, "teacher.text.anchors=texts.npz")
    assert "prompts" not in work_of(anchored, COUNTS, cached=True)["text"]
