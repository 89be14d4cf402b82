import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from exporters.images.bounds.check import check_bounds
from exporters.images.bounds.refused import RefusedError
from exporters.images.decoding import FORMATS, UnreadableImageError, open_rgb
from tests.exporters.images.encoding import encoded, photograph
from tests.exporters.images.hostile import HOSTILE

SERVED = 25_000_000


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_before_they_are_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = HOSTILE[name]()
    monkeypatch.setattr(Image, "open", lambda *_arguments, **_options: pytest.fail("Pillow was asked"))
    with pytest.raises(UnreadableImageError, match="the image cannot be read: "):
        open_rgb(data, max_pixels=SERVED)
    tracemalloc.start()
    with pytest.raises(RefusedError):
        check_bounds(io.BytesIO(data), SERVED)
    assert tracemalloc.get_traced_memory()[1] < 2 * len(data) + 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [*FORMATS, "JPEG2000"])
def test_honest_files_pass_and_the_stream_is_at_its_beginning(kind: str) -> None:
    frames = [photograph(30, 40, seed) for seed in range(3)]
    several = {"save_all": True, "append_images": frames} if kind not in ("BMP", "JPEG", "JPEG2000", "PPM") else {}
    for arguments in ({}, {"progressive": True}, several):
        stream = io.BytesIO(encoded(photograph(30, 40), kind, **arguments))
        stream.seek(5)
        check_bounds(stream, 30 * 40)
        assert stream.tell() == 0
    check_bounds(io.BytesIO(b"no image"), 1)
    check_bounds(io.BytesIO(b""), 1)


def test_checked_files_give_the_pixels_that_pillow_gives() -> None:
    for kind in FORMATS:
        data = encoded(photograph(30, 40), kind)
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(np.asarray(open_rgb(data)), np.asarray(image.convert("RGB")))
