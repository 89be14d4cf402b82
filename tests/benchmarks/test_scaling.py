"""Predictions for many GPUs, against the formulas worked out by hand."""

from dataclasses import replace

import pytest

from benchmarks.scaling import GPU, Sizes, predict, to_markdown
from pipeline.costs.counts import Counts
from pipeline.costs.flops import NetworkSize
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe

SIZES = Sizes(NetworkSize(1e9, 1_000_000), NetworkSize(4e9, 1), NetworkSize(8e9, 1), cache_row=1000, views=3)
COUNTS = Counts(train=1_024_000, validation=1, test=1, classes=10)


def recipe_of(*changes: str) -> Recipe:
    return load_recipe("imagenet_resnet18", ("train.batch_size=1024", "train.epochs=100", *changes)).recipe


def test_one_gpu_is_as_fast_as_its_operations() -> None:
    row = predict(recipe_of(), COUNTS, SIZES, 1, core=1000.0)
    image = 3e9 / (989e12 * 0.1) + 3 * 4e9 / (989e12 * 0.1) + 3 * 8e9 / (989e12 * 0.4)
    assert row["hours"] == pytest.approx(102.4e6 * image / 3600, rel=1e-4)
    assert row["images_per_second"] == pytest.approx(1 / image, rel=1e-4)
    assert row["bound"] == "teachers"
    assert row["seconds"]["network"] == 0 and row["cache_bytes"] == 0


def test_cache_saves_the_looks_of_all_epochs_but_its_own() -> None:
    cold, warm = (
        predict(recipe_of(*changes), COUNTS, SIZES, 8, core=9000.0)
        for changes in ((), ("distill.teacher_cache.passes=10",))
    )
    assert warm["seconds"]["teacher"] == pytest.approx(cold["seconds"]["teacher"] / 10, rel=0.01)
    assert warm["seconds"]["disk"] == pytest.approx(102.4e6 * 1000 / (0.8e9 * 8), rel=0.01)
    assert warm["cache_bytes"] == 10 * 1_024_000 * 1000
    assert warm["bound"] == "student"


def test_small_share_of_the_batch_waits_for_kernels_and_slow_nodes_for_decoding() -> None:
    many = predict(recipe_of(), COUNTS, SIZES, 1024, core=1000.0)
    assert many["batch_of_one"] == 1 and many["bound"] == "kernels started one by one"
    assert many["hours"] >= 100_000 * GPU.launch_cold / 3600
    slow = predict(recipe_of(), COUNTS, SIZES, 8, core=10.0)
    assert slow["bound"] == "decoding"
    assert slow["hours"] == pytest.approx(102.4e6 / (10 * 16 * 8) / 3600)


def test_gradients_that_take_longer_than_the_way_back_decide() -> None:
    thin = replace(GPU, network=1e6)
    row = predict(recipe_of(), COUNTS, SIZES, 64, core=1000.0, machine=thin)
    assert row["bound"] == "all-reduce"
    assert row["seconds"]["network"] == pytest.approx(1e5 * (2 * 4e6 * 63 / 64 / 1e6 + 12 * 15e-6), rel=1e-4)


def test_table_has_a_row_for_each_prediction() -> None:
    row = {"case": "a case", "arm": "cold", **predict(recipe_of(), COUNTS, SIZES, 8, core=1000.0)}
    table = to_markdown([row, row], 1000.0)
    assert table.count("| cold | 8 |") == 2 and "**a case**" in table
