from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.costs.loading import fits_in_memory, loading_prices, sample_index, sample_listing, sample_size, timed
from pipeline.data.indexing import build_index, read_listing
from pipeline.data.settings import DataSettings
from tests.pipeline.conftest import make_data
from tests.pipeline.costs.recipes import small_recipe


def settings_of(root: Path) -> DataSettings:
    return DataSettings(dataset="folder", root=str(root), image_size=32)


def test_sample_of_a_listing_is_indexed_as_the_stage_would(tmp_path: Path) -> None:
    settings, recipe = settings_of(make_data(tmp_path / "images")), small_recipe(tmp_path)
    whole = build_index(settings).splits["train"]
    sampled, price = sample_listing(read_listing(settings), recipe, images=7)
    train = sampled.splits["train"]
    assert len(train) == 7 and price.wall > 0
    places = [list(whole.paths).index(path) for path in train.paths]
    assert places[0] == 0 and places[-1] == len(whole) - 1
    for name in ("labels", "sha256", "sizes"):
        assert np.array_equal(getattr(train, name), getattr(whole, name)[places])
    again = sample_index(build_index(settings), images=7).splits["train"]
    assert list(again.paths) == list(train.paths)


def test_data_set_without_a_usable_image_is_refused(tmp_path: Path) -> None:
    root = make_data(tmp_path / "images")
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UnavailableError, match=r"\.png"):
        sample_listing(read_listing(settings_of(root)), small_recipe(tmp_path), 7)


def test_decoded_images_are_kept_up_to_the_loaders_limit(tmp_path: Path) -> None:
    sampled = sample_index(build_index(settings_of(make_data(tmp_path))), 48)
    limit = 512 * 2**20 // (32 * 32 * 3)
    assert fits_in_memory(sampled, limit) and not fits_in_memory(sampled, limit + 1)


def test_every_part_of_loading_has_a_price(tmp_path: Path) -> None:
    sampled = sample_index(build_index(settings_of(make_data(tmp_path / "images"))), 48)
    prices = loading_prices(sampled, small_recipe(tmp_path))
    assert set(prices) == {"decode", "augment", "prepare"}
    assert prices["augment"].cpu > 0 and prices["prepare"].cpu > 0 and prices["decode"].cpu >= 0


def test_more_images_are_looked_at_where_they_are_small(tmp_path: Path) -> None:
    assert sample_size(small_recipe(tmp_path)) > sample_size(small_recipe(tmp_path, "data.image_size=224"))


def test_waiting_costs_wall_time_alone() -> None:
    import time

    took = timed(lambda: time.sleep(0.1))
    assert took.wall >= 0.1 > took.cpu
