import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.inspection.looks import Looks, look_of, perceptual_hash, read_looks
from pipeline.data.stores.files import FileStore
from tests.pipeline.data.inspection.pictures import LIGHT_CHANGES, picture


def test_hash_is_that_of_scipys_cosine_transform() -> None:
    fft = pytest.importorskip("scipy.fft")
    for seed in range(20):
        grey = picture(seed).convert("L")
        values = np.asarray(grey.resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=3.0), dtype=float)
        lowest = fft.dctn(values, type=2)[:8, :8].reshape(-1)
        middle = sorted(lowest)
        bits = "".join("1" if value > (middle[31] + middle[32]) / 2 else "0" for value in lowest)
        assert f"{perceptual_hash(grey):064b}" == bits


def test_light_changes_leave_the_hash_nearly_as_it_is() -> None:
    for seed in range(10):
        image = picture(seed)
        for name, change in LIGHT_CHANGES.items():
            assert (look_of(image).hash ^ look_of(change(image)).hash).bit_count() <= 10, name


def test_small_picture_has_the_grey_values_and_colour_of_the_image() -> None:
    image = Image.new("RGB", (64, 64), (200, 200, 200))
    image.paste((10, 10, 10), (0, 0, 32, 64))
    look = look_of(image)
    rows = look.picture.reshape(16, 16)
    assert (rows[:, 0] == 10).all() and (rows[:, -1] == 200).all() and look.colour == 0
    assert look.spread == pytest.approx(float(np.std(rows)))
    assert look_of(Image.new("RGB", (9, 9), (30, 40, 90))).colour == 60


def test_looks_are_found_by_content_in_any_order() -> None:
    looks, images = Looks.empty(5), [picture(seed) for seed in range(4)]
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(4)]
    for place, (digest, image) in enumerate(zip(digests, images, strict=True)):
        looks.put(place, digest, look_of(image))
    wanted = np.frombuffer(b"".join(digests[number] for number in (3, 1, 1)), np.uint8).reshape(3, 32)
    assert looks.rows(wanted).tolist() == [3, 1, 1] and looks.known.tolist() == [True] * 4 + [False]
    assert looks.hashes[:4].tolist() == [look_of(image).hash for image in images]
    assert looks.spreads[:4].tolist() == pytest.approx([look_of(image).spread for image in images])
    assert len(looks.rows(wanted[:0])) == 0


def test_images_that_cannot_be_read_any_more_stay_unknown(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    steps: list[tuple[int, int]] = []
    looks = read_looks(
        FileStore(tmp_path), ["a.png", "b.png", "c.png"], np.zeros((3, 32), np.uint8), lambda *step: steps.append(step)
    )
    assert looks.known.tolist() == [True, False, False] and steps == [(1, 3), (2, 3), (3, 3)]
    assert looks.hashes[0] == look_of(picture(0)).hash
