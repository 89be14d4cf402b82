import contextlib
import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.core.files import sha256_file
from exporters.images import decoding as images
from exporters.images.decoding import UnreadableImageError, open_rgb

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10


def encoded(image: Image.Image, kind: str = "PNG", **arguments: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **arguments)
    return stream.getvalue()


def test_path_bytes_and_image_give_the_same_pixels(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    path = tmp_path / "a.png"
    image.save(path)
    for source in (path, path.read_bytes(), image):
        opened = open_rgb(source)
        assert opened.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(opened), PIXELS)
    assert open_rgb(image) is not image


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, PIXELS),
        (2, PIXELS[:, ::-1]),
        (3, PIXELS[::-1, ::-1]),
        (4, PIXELS[::-1]),
        (5, PIXELS.transpose(1, 0, 2)),
        (6, np.rot90(PIXELS, -1)),
        (7, PIXELS[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(PIXELS)),
        (99, PIXELS),
    ],
)
def test_exif_orientation_is_applied(orientation: int, upright: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(np.asarray(open_rgb(encoded(Image.fromarray(PIXELS), exif=exif))), upright)


def test_damaged_exif_is_ignored() -> None:
    data = encoded(Image.fromarray(PIXELS), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(np.asarray(open_rgb(data)), PIXELS)


def test_grey_palette_and_bilevel_images_become_rgb() -> None:
    grey = Image.fromarray(PIXELS[..., 0])
    np.testing.assert_array_equal(np.asarray(open_rgb(encoded(grey)))[..., 2], PIXELS[..., 0])
    palette = Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(np.asarray(open_rgb(encoded(palette))), np.asarray(palette.convert("RGB")))
    assert set(np.unique(np.asarray(open_rgb(grey.convert("1"))))) <= {0, 255}


def test_transparency_is_composited_over_white() -> None:
    rgba = np.dstack([PIXELS, np.full((2, 3), 255, np.uint8)])
    rgba[0, 0, 3] = 0
    expected = PIXELS.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(np.asarray(open_rgb(encoded(Image.fromarray(rgba)))), expected)
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(
        np.asarray(open_rgb(encoded(palette, transparency=1))), [[[10, 20, 30], [255, 255, 255]]]
    )


def test_cmyk_jpeg_becomes_rgb() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(np.asarray(open_rgb(encoded(image, "JPEG")))[8, 8].astype(int) - [255, 0, 0]).max() < 8


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    opened = np.asarray(open_rgb(encoded(Image.fromarray(values))))
    np.testing.assert_array_equal(opened[..., 0], [[0, 1, 128, 255]])


@pytest.mark.parametrize(
    "values", [np.array([[70000]], np.int32), np.array([[-1]], np.int32), np.ones((1, 1), np.float32)]
)
def test_undefined_ranges_are_refused(values: np.ndarray) -> None:
    with pytest.raises(UnreadableImageError, match="no defined range"):
        open_rgb(encoded(Image.fromarray(values), "TIFF"))


def test_first_frame_of_a_gif_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(np.asarray(open_rgb(data))[0, 0]) == (255, 0, 0)


def test_errors_name_the_file_and_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    truncated = tmp_path / "cut.png"
    truncated.write_bytes(
        encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)))[:-2000]
    )
    for path, reason in [(broken, "not an image"), (truncated, "truncated"), (tmp_path / "none.png", "no such file")]:
        with pytest.raises(UnreadableImageError, match=reason) as caught:
            open_rgb(path)
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 4
    with pytest.raises(UnreadableImageError):
        open_rgb(tmp_path)
    with pytest.raises(UnreadableImageError, match="<3 bytes>"):
        open_rgb(b"abc")


def test_bombs_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    )
    with pytest.raises(UnreadableImageError, match=r"exceeds limit|pixels"):
        open_rgb(b"\x89PNG\r\n\x1a\n" + chunks)
    monkeypatch.setattr(images, "MAX_PIXELS", 5)
    with pytest.raises(UnreadableImageError, match="3x2 is more than 5 pixels"):
        open_rgb(Image.fromarray(PIXELS))


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match="no pixels"):
        open_rgb(Image.new("RGB", (0, 4)))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_damaged_files_give_an_image_or_one_clear_error(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(Image.fromarray(PIXELS.repeat(4, 0).repeat(4, 1)), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(UnreadableImageError):
        assert open_rgb(bytes(content)).mode == "RGB"


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_format_is_detected_from_content_not_suffix(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.of_another_kind"
    Image.new("RGB", (32, 24), (200, 30, 90)).save(path, kind)
    opened = open_rgb(path)
    assert opened.size == (32, 24)
    assert np.abs(np.asarray(opened)[12, 16].astype(int) - [200, 30, 90]).max() < 12


def test_other_formats_are_refused(tmp_path: Path) -> None:
    """PostScript would be run by Ghostscript."""
    path = tmp_path / "photo.png"
    for kind in ("EPS", "TGA", "PCX", "SGI", "JPEG2000"):
        Image.new("RGB", (4, 4)).save(path, kind)
        with pytest.raises(UnreadableImageError, match="not an image of a known kind"):
            open_rgb(path)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_or_page_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    arguments = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **arguments)
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert tuple(np.asarray(open_rgb(data))[8, 8]) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_in_every_format(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    left = Image.new("RGB", (48, 32), (0, 0, 0))
    left.paste((255, 255, 255), (0, 0, 24, 32))  # left half white: the upper half, once upright
    opened = np.asarray(open_rgb(encoded(left, kind, exif=exif))).astype(int)
    assert opened.shape == (48, 32, 3)
    assert opened[:20].min() > 200 and opened[-20:].max() < 55


def test_transparent_value_of_sixteen_bits_becomes_white() -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    data = encoded(Image.fromarray(values))
    chunk = b"tRNS" + struct.pack(">H", 257)
    place = data.index(b"IDAT") - 4
    data = data[:place] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[place:]
    np.testing.assert_array_equal(np.asarray(open_rgb(data))[..., 0], [[0, 255, 128, 255]])


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "La", "RGBa"]
)
def test_every_mode_of_eight_bits_or_fewer_becomes_rgb(mode: str) -> None:
    opened = open_rgb(Image.new(mode, (3, 2)))
    assert (opened.mode, opened.size) == ("RGB", (3, 2))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_every_mode_of_sixteen_bits_is_scaled(mode: str) -> None:
    order = ">" if mode.endswith("B") else "<"
    values = np.array([[0, 257], [128 * 257, 65535]], dtype="<i4" if mode == "I" else f"{order}u2")
    image = Image.frombytes(mode, (2, 2), values.tobytes())
    np.testing.assert_array_equal(np.asarray(open_rgb(image))[..., 1], [[0, 1], [128, 255]])


def test_empty_files_are_called_empty(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for source in (empty, b""):
        with pytest.raises(UnreadableImageError, match="is empty"):
            open_rgb(source)


def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    paths = [pipe, Path("/dev/zero")]
    with socket.socket(socket.AF_UNIX) as listening:
        # The path of a socket has at most 107 bytes.
        with contextlib.chdir(tmp_path):
            listening.bind("socket.png")
        for path in [*paths, tmp_path / "socket.png"]:
            with pytest.raises(UnreadableImageError, match="a pipe, a socket or a device") as caught:
                open_rgb(path)
            assert str(path) in caught.value.message
            with pytest.raises(OSError, match="a pipe, a socket or a device"):
                sha256_file(path)
