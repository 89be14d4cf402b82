from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from exporters.images.preprocessing import Preprocessing
from pipeline.data import checking
from pipeline.data.checking import available_processors, check_file, check_files
from pipeline.data.stores.files import FileStore
from tests.pipeline.data.conftest import write_image

PREPROCESSING = Preprocessing(200, 256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_good_image_has_its_hash_and_size(tmp_path: Path) -> None:
    content = write_image(tmp_path / "a.png", 1, 24, 20).read_bytes()
    checked = check_file(FileStore(tmp_path), "a.png", PREPROCESSING)
    assert (checked.sha256, checked.size, checked.reason) == (sha256(content).digest(), (24, 20), None)


def test_unusable_images_have_a_reason_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (1, 50_000)).save(tmp_path / "narrow.png")  # resized, it would not fit into memory
    for name in ("text.png", "narrow.png", "absent.png"):
        checked = check_file(FileStore(tmp_path), name, PREPROCESSING)
        assert checked.reason is not None and str(tmp_path / name) in checked.reason, name
        assert (checked.sha256, checked.size) == (b"", (0, 0))


def test_results_are_in_the_order_of_the_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "CHUNK", 2)
    paths = [write_image(tmp_path / f"{i}.png", i, 20 + i).name for i in range(7)]
    with ThreadPoolExecutor(3) as pool:
        found = list(check_files(FileStore(tmp_path), paths, PREPROCESSING, pool))
    assert [checked.size[0] for checked in found] == [20 + i for i in range(7)]


def test_between_one_and_eight_processors_are_used() -> None:
    assert 1 <= available_processors() <= 8
