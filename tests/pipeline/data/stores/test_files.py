from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.stores.files import FileStore
from tests.pipeline.data.conftest import write_image


def test_key_is_the_path_below_the_root(tmp_path: Path) -> None:
    path = write_image(tmp_path / "train" / "a.png", 3)
    store, key = FileStore(tmp_path), "train/a.png"
    assert store.read(key) == path.read_bytes()
    assert store.file(key) == path and store.describe(key) == str(path)
    assert store.mark(key) == f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    digest, image = store.examine(key)
    assert digest == sha256(path.read_bytes()).digest()
    with Image.open(path) as expected:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
