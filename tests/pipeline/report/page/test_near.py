from pathlib import Path

import numpy as np
import pytest

from pipeline.data.index import DataIndex
from pipeline.data.inspection.inspect import inspect
from pipeline.report.page import near as module
from pipeline.report.page.near import near_duplicates_note
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.inspection.pictures import LIGHT_CHANGES, picture


@pytest.fixture
def index(tmp_path: Path) -> DataIndex:
    for place, image in {
        "train/a/0": picture(0),
        "train/b/0": picture(1),
        "val/a/0": picture(2),
        "val/b/0": picture(3),
        "test/a/0": LIGHT_CHANGES["brighter"](picture(0)),
        "test/b/0": picture(4),
    }.items():
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True)
        image.save(path)
    return DataIndex(tmp_path, ["a", "b"], inspect(Data(root=str(tmp_path))).images())


def test_near_duplicates_are_counted_and_the_command_that_shows_them_is_named(index: DataIndex) -> None:
    assert near_duplicates_note(index, Path("runs/my run")) == (
        "Near-duplicates across splits: 1 of test like one of train. tmkd-pipeline data inspect"
        " 'runs/my run/recipe.lock.yaml' --html data.html shows them side by side."
    )


def test_large_data_sets_are_left_to_the_command(index: DataIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES", 5)
    assert "are not looked for here, in 6 images; tmkd-pipeline" in near_duplicates_note(index, Path("r"))
    monkeypatch.setattr(module, "IMAGES", 6)
    monkeypatch.setattr(module, "PIXELS", int(np.prod((160, 120))))
    assert "are not looked for here" in near_duplicates_note(index, Path("r"))


def test_images_that_are_gone_are_said_to_be(index: DataIndex) -> None:
    for path in index.root.rglob("*.png"):
        path.unlink()
    assert "could not be looked for" in near_duplicates_note(index, Path("r"))
