from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.stores.base import file_mark
from pipeline.data.stores.files import FileStore
from tests.pipeline.data.conftest import write_image


def test_key_is_the_path_below_the_root(tmp_path: Path) -> None:
    path = write_image(tmp_path / "train" / "a.png", 3)
    store, key = FileStore(tmp_path), "train/a.png"
    assert store.read(key) == path.read_bytes()
    assert store.file(key) == path and store.describe(key) == str(path)
    assert store.mark(key) == file_mark(path)


@pytest.mark.parametrize("at_once", [10, 2**20])
def test_files_of_any_size_are_hashed_and_decoded(
    tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.data.stores.files.READ_AT_ONCE", at_once)
    path = write_image(tmp_path / "a.png", 3)
    digest, image = FileStore(tmp_path).examine("a.png")
    assert digest == sha256(path.read_bytes()).digest()
    with Image.open(path) as expected:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
