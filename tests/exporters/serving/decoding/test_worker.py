"""The decoder's work within this process; `test_process.py` and `test_pool.py` run it as it is run."""

import subprocess
import sys

import numpy as np
import pytest

from exporters.images.decoding import open_rgb
from exporters.images.preprocessing import Preprocessing
from exporters.serving.decoding import worker
from exporters.serving.decoding.messages import SIDES, DecodeRequest
from tests.exporters.serving.conftest import form, photo

PREPROCESSING = Preprocessing(size=32, resize=40, mean=(0.5,) * 3, std=(0.5,) * 3)
REQUEST = DecodeRequest(PREPROCESSING.to_json(), None, 1_000_000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM"])
def test_pixels_are_those_of_decoding_in_the_process(kind: str) -> None:
    data = photo(kind=kind)
    status, sides, content = worker.answer(REQUEST, data)
    assert (status, SIDES.unpack(sides), content) == (200, (60, 41), PREPROCESSING.apply(open_rgb(data)).tobytes())
    body, headers = form(data)
    again = DecodeRequest(PREPROCESSING.to_json(), headers["Content-Type"], 1_000_000)
    assert worker.answer(again, body) == (status, sides, content)


def test_refusals_have_a_status_and_a_message() -> None:
    assert worker.answer(REQUEST, b"no image")[0] == 422
    assert worker.answer(DecodeRequest(PREPROCESSING.to_json(), "multipart/mixed", 9), b"")[0] == 415
    assert worker.answer(DecodeRequest(PREPROCESSING.to_json(), None, 9), photo()) == (
        422,
        b"the upload: the image cannot be read: 60x41 is more than 9 pixels",
    )


def test_mistakes_of_ours_and_lack_of_memory_are_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> np.ndarray:
        raise error

    monkeypatch.setattr(worker, "prepare_upload", fails)
    error: Exception = MemoryError()
    assert worker.answer(REQUEST, b"") == (422, b"there is not enough memory to decode the upload")
    error = KeyError("x")
    assert worker.answer(REQUEST, b"") == (500, b"KeyError: 'x'")


def test_decoder_imports_nothing_large() -> None:
    program = "import sys, exporters.serving.decoding.worker; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    large = {"torch", "onnxruntime", "fastapi", "starlette", "pydantic", "pydantic_core", "pipeline", "click", "yaml"}
    assert not large & set(done.stdout.split())
