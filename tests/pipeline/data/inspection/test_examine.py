import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.core.files import sha256_file
from exporters.images.decoding import FORMATS
from exporters.images.preprocessing import Preprocessing
from pipeline.data.inspection import examine as module
from pipeline.data.inspection.examine import SUFFIXES, examine
from pipeline.data.stores.files import FileStore

PREPROCESSING = Preprocessing(64, 64, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image | None = None, **arguments: object) -> Path:
    (Image.fromarray(NOISE) if image is None else image).save(path, **arguments)
    return path


def look(path: Path) -> module.Facts:
    return examine(FileStore(path.parent), path.name, PREPROCESSING)


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tiff", "TIFF")])
def test_an_ordinary_image_is_not_odd(tmp_path: Path, suffix: str, kind: str) -> None:
    path = saved(tmp_path / f"a.{suffix}")
    facts = look(path)
    known = module.Facts(bytes.fromhex(sha256_file(path)), (30, 40), kind, "RGB", ())
    assert facts.look is not None and replace(facts, look=None) == known


def test_every_format_that_is_decoded_has_its_suffixes() -> None:
    assert set(SUFFIXES) == set(FORMATS)


def test_wrong_suffix_is_an_oddity(tmp_path: Path) -> None:
    assert look(saved(tmp_path / "a.jpg", format="PNG")).oddities == (module.WRONG_SUFFIX,)


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_animation_is_an_oddity(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]
    path = saved(tmp_path / f"a.{kind}", frames[0], save_all=True, append_images=frames[1:])
    assert look(path).oddities == (module.ANIMATED, *([module.PALETTE] if kind == "gif" else []))


@pytest.mark.parametrize(
    ("size", "colour", "expected"),
    [
        ((1, 1), 7, {module.ONE_PIXEL, module.UNIFORM}),
        ((20, 20), 7, {module.UNIFORM}),
        ((5000, 4000), 0, {module.UNIFORM, module.VERY_LARGE}),
        ((200, 10), 0, {module.UNIFORM, module.VERY_NARROW}),
    ],
)
def test_odd_sizes_and_uniform_images_are_found(
    tmp_path: Path, size: tuple[int, int], colour: int, expected: set[str]
) -> None:
    facts = look(saved(tmp_path / "a.png", Image.new("L", size, colour)))
    assert set(facts.oddities) == expected and facts.mode == "L" and facts.size == size


def test_modes_are_those_of_the_file(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "RGBA", "I;16"):
        assert look(saved(tmp_path / "a.png", Image.new(mode, (4, 4)))).mode == mode
    assert look(saved(tmp_path / "a.jpg", Image.new("CMYK", (4, 4)))).mode == "CMYK"


def test_photo_with_a_preview_is_not_an_animation(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.fromarray(NOISE[::2, ::2])])
    facts = look(path)
    assert (facts.format, facts.oddities) == ("MPO", ())


def test_unusable_image_has_a_reason_without_its_path(tmp_path: Path) -> None:
    broken = {"empty.png": b"", "text.png": b"no image", "cut.png": saved(tmp_path / "x.png").read_bytes()[:600]}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        reason = look(tmp_path / name).reason
        assert reason and str(tmp_path) not in reason
    os.mkfifo(tmp_path / "pipe.png")
    assert "a pipe" in (look(tmp_path / "pipe.png").reason or "")
    narrow = saved(tmp_path / "narrow.png", Image.new("L", (50_000, 1)))
    reason = examine(FileStore(tmp_path), narrow.name, Preprocessing(1000, 1000, (0.0,) * 3, (1.0,) * 3)).reason  # type: ignore[arg-type]
    assert reason is not None


@pytest.mark.parametrize(("size", "expected"), [((30, 89), []), ((91, 30), [module.ELONGATED])])
def test_elongated_images_are_found(tmp_path: Path, size: tuple[int, int], expected: list[str]) -> None:
    noise = Image.fromarray(NOISE).resize(size, Image.Resampling.NEAREST)
    assert list(look(saved(tmp_path / "a.png", noise)).oddities) == expected


def test_colours_and_contrast_out_of_the_ordinary_are_found(tmp_path: Path) -> None:
    colour = Image.fromarray(NOISE)
    assert look(saved(tmp_path / "a.png", colour.convert("L"))).oddities == (module.GREY,)
    assert look(saved(tmp_path / "b.jpg", colour.convert("L").convert("RGB"))).oddities == (module.GREY,)
    assert look(saved(tmp_path / "c.jpg", colour.convert("CMYK"))).oddities == (module.CMYK,)
    assert look(saved(tmp_path / "d.png", colour.convert("P"))).oddities == (module.PALETTE,)
    pale = Image.fromarray((120 + NOISE // 64).astype(np.uint8))
    assert look(saved(tmp_path / "e.png", pale)).oddities == (module.PALE,)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_images_that_are_turned_by_their_exif_orientation_are_found(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = look(saved(tmp_path / f"a.{suffix}", exif=exif))
    assert (facts.size, facts.oddities) == ((40, 30), (module.TURNED,))
    exif[0x0112] = 1
    assert look(saved(tmp_path / f"b.{suffix}", exif=exif)).oddities == ()
