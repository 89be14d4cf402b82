import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.listing import Listing
from pipeline.data.registry import load_reader
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import rows_of_images

needs_library = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="the extra hf is not installed")


def read(root: Path, name: str = "ducks") -> Listing:
    return load_reader(f"hf:{name}")(root, Data())


@needs_library
@pytest.mark.usefixtures("cache")
def test_row_without_an_image_is_named(tmp_path: Path):
    import datasets

    def emptied(rows: Any) -> Any:
        return (
            rows.cast_column("image", datasets.Image(decode=False))
            .map(lambda row, number: {"image": None if number == 1 else row["image"]}, with_indices=True)
            .cast_column("image", datasets.Image())
        )

    datasets.DatasetDict({"train": emptied(rows_of_images(4, 0)), "test": rows_of_images(2, 9)}).save_to_disk(
        str(tmp_path)
    )
    listing = read(tmp_path)
    with pytest.raises(Exception, match="row train/1: the image cannot be read: the row has none"):
        open_store(listing.store, listing.root).image("train/1")


@needs_library
@pytest.mark.usefixtures("cache")
def test_progress_bars_of_the_library_are_restored(tmp_path: Path):
    import datasets

    rows_of_images(8, 0).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    rows_of_images(4, 100).to_parquet(tmp_path / "test.parquet")
    hidden = datasets.are_progress_bars_disabled()
    try:
        for set_, expected in ((datasets.enable_progress_bars, False), (datasets.disable_progress_bars, True)):
            set_()
            read(tmp_path)
            assert datasets.are_progress_bars_disabled() is expected
    finally:
        (datasets.disable_progress_bars if hidden else datasets.enable_progress_bars)()
