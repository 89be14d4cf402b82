from pathlib import Path

import pytest
from PIL import Image

from exporters.core.errors import UnavailableError
from pipeline.data.indexing import build_index
from pipeline.data.listing import Listing
from pipeline.data.registry import load_reader
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import write_dtd

pytest.importorskip("torchvision")


def read(name: str, root: Path) -> Listing:
    return load_reader(f"torchvision:{name}")(root, Data())


def test_images_are_upright(tmp_path: Path):
    write_dtd(tmp_path)
    path = tmp_path / "dtd" / "dtd" / "images" / "banded" / "banded_test_0.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 10), (200, 0, 0)).save(path, exif=exif)
    listing = read("DTD", tmp_path)
    assert open_store(listing.store, listing.root).image("test/0").size == (10, 30)


def test_broken_image_is_named(tmp_path: Path):
    write_dtd(tmp_path)
    path = tmp_path / "dtd" / "dtd" / "images" / "banded" / "banded_val_1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnavailableError, match=r"image validation/1: .*banded_val_1\.jpg: the image cannot be read"):
        build_index(Data(dataset="torchvision:DTD", root=str(tmp_path)))
