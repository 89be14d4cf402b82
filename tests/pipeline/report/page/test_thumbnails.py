import base64
import io
import shutil

import numpy as np
from PIL import Image

from pipeline.data.indexing import build_index
from pipeline.data.settings import DataSettings
from pipeline.report.page.thumbnails import data_address, thumbnail, thumbnails


def decoded(address: str) -> Image.Image:
    head, _, body = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_no_side_is_longer_than_asked_for_and_small_pictures_stay() -> None:
    assert decoded(data_address(Image.new("RGB", (400, 200)), 100)).size == (100, 50)
    assert decoded(data_address(Image.new("RGB", (20, 30)), 100)).size == (20, 30)


def test_picture_is_that_of_the_image_and_lost_ones_are_left_out(tiny_data, tmp_path) -> None:  # type: ignore[no-untyped-def]
    root = shutil.copytree(tiny_data, tmp_path / "own")
    index = build_index(DataSettings(dataset="folder", root=str(root), image_size=32))
    paths = index.splits["test"].paths
    (root / paths[1]).unlink()
    (found,) = thumbnails(index, [("test", 0, "the first"), ("test", 1, "gone")])
    assert (found.caption, found.path) == ("the first", paths[0])
    # What is lost in a JPEG is fine texture: the means of 8 × 8 blocks stay.
    means = [picture.convert("RGB").reduce(8) for picture in (Image.open(root / paths[0]), decoded(found.source))]
    assert np.abs(np.subtract(*(np.asarray(mean, dtype=float) for mean in means))).max() < 6


def test_unreadable_image_has_no_thumbnail_and_names_steer_no_terminal() -> None:
    def unreadable() -> Image.Image:
        raise OSError("gone")

    assert thumbnail(unreadable, "a", "a.png") is None
    found = thumbnail(lambda: Image.new("RGB", (400, 200)), "one\ntwo\x1b", "\u202egnp.a", side=100)
    assert found is not None and (found.caption, found.path) == ("one\ntwo\\u001b", "\\u202egnp.a")
    assert decoded(found.source).size == (100, 50)
