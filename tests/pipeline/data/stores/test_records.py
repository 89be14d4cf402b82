from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.stores.records import LAYOUTS, RecordStore
from tests.pipeline.data.containers import write_cifar10, write_cifar100, write_stl10

WRITERS = {"cifar10": write_cifar10, "cifar100": write_cifar100, "stl10": write_stl10}
FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary", "stl10": "stl10_binary"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_record_is_found_by_number(name: str, tmp_path: Path) -> None:
    pixels = WRITERS[name](tmp_path)
    store = RecordStore(tmp_path / FOLDERS[name], name)
    for stem, expected in pixels.items():
        np.testing.assert_array_equal(np.asarray(store.image(f"{stem}/2")), expected[2])


def test_record_behind_the_end_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path, count=6)
    store = RecordStore(tmp_path / FOLDERS["cifar10"], "cifar10")
    with pytest.raises(UnavailableError, match=r"test_batch\.bin, image 6: the file ends before it"):
        store.read("test_batch/6")
