from pathlib import Path

import pytest

from pipeline.costs.counts import Counts, count_images, counts_of_index, saved_index
from pipeline.data.indexing import build_index
from pipeline.data.settings import DataSettings
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import make_data


@pytest.mark.parametrize("changes", [{}, {"train_images": 12}])
def test_names_alone_give_the_counts_of_the_index(tmp_path: Path, changes: dict[str, int]) -> None:
    settings = DataSettings(dataset="folder", root=str(make_data(tmp_path)), image_size=32, **changes)
    assert count_images(settings) == counts_of_index(build_index(settings))


def test_validation_is_taken_off_training_where_the_data_set_brings_none(tmp_path: Path) -> None:
    root = make_data(tmp_path)
    (root / "val").rename(tmp_path / "aside")
    settings = DataSettings(dataset="folder", root=str(root), image_size=32, validation=0.25)
    assert count_images(settings) == counts_of_index(build_index(settings)) == Counts(36, 12, 24, 3)


def test_index_of_a_run_counts_only_where_it_is_usable(tmp_path: Path) -> None:
    settings = DataSettings(dataset="folder", root=str(make_data(tmp_path / "images")), image_size=32)
    run = RunDirectory(tmp_path / "run")
    assert saved_index(run, usable=True) is None
    run.folder("data").mkdir(parents=True)
    build_index(settings).save(run.folder("data"))
    assert saved_index(run, usable=False) is None
    saved = saved_index(run, usable=True)
    assert saved is not None and counts_of_index(saved).images == 84
