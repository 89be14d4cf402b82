import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data.copies import number_of_duplicates
from pipeline.data.indexing import build_index
from pipeline.data.inspection.inspect import inspect
from tests.pipeline.data.conftest import Data, write_folders

Settings = Callable[..., Data]


def flat_with_copies(root: Path) -> Path:
    """Two classes without split folders; every image of one class has copies, those of the other none."""
    write_folders(root, {"teal": 20, "wood_duck": 30})
    for i in range(10):
        for copy in range(1 + i % 3):
            shutil.copy(root / f"teal/{i:03}.png", root / f"teal/{i:03}-copy{copy}.png")
    return root


@pytest.mark.parametrize("chosen", [None, 12])
def test_splits_equal_those_of_the_data_stage(tmp_path: Path, settings: Settings, chosen: int | None) -> None:
    flat_with_copies(tmp_path)
    data = settings(validation=0.2, test=0.3, split_seed=5, train_images=chosen)
    found, index = inspect(data), build_index(data)
    assert set(found.splits) == {"train", "validation", "test"} and found.refusal is None
    for name, split in index.splits.items():
        assert list(found.splits[name].images.paths) == list(split.paths), name
        assert found.copies[name].count == number_of_duplicates(split.sha256)
    assert found.leaks == {} and sum(copies.count for copies in found.copies.values()) > 0
    assert sum(map(len, found.splits.values())) + found.unused.get("data.train_images", 0) == 69


def test_images_left_out_as_leaks_are_counted(odd: Path, settings: Settings) -> None:
    data = settings(on_leak="drop", on_error="skip")
    found, index = inspect(data), build_index(data)
    assert found.leaks["train", "test"].count == 2 and found.unused == {"data.on_leak": 2}
    assert {name: len(split.images) for name, split in found.splits.items()} == {
        name: len(split) for name, split in index.splits.items()
    }
