"""Extracts the image from a request body: the field `file` of a form, or the whole body."""

import io
from typing import NamedTuple

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from exporters.images.decoding import UnreadableImageError, open_rgb
from exporters.images.preprocessing import Preprocessing
from exporters.serving.problems import RequestError

FIELD = "file"
FORM = b"multipart/form-data"
_LONGEST_BOUNDARY = 70
"""Characters, by RFC 2046."""
_CHUNK_BYTES = 2**20
_MAX_PARTS = 16
_NAME = "the upload"  # never the client's file name, which may be a path


class Upload(NamedTuple):
    """The image of a request.

    Attributes:
        pixels: as the model takes it, uint8 `[size, size, 3]`.
        width, height: of the image as it was sent, upright.
    """

    pixels: np.ndarray
    width: int
    height: int


def prepare_upload(preprocessing: Preprocessing, body: bytes, content_type: str | None, max_pixels: int) -> Upload:
    """Decode the image in a body as `Student.prepare` does. Slow; called in a decoder.

    Args:
        preprocessing: of the student.
        body: a form (`multipart/form-data`) with one file in the field `file`, or, of any other type, an image file.
        content_type: of the request. The image format is detected from the content alone.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        RequestError: 400 for a form that is malformed or has no such file; 415 for another kind of multipart; 422 for
            a body that is no image, or one that is damaged or too large.
    """
    kind, options = parse_options_header(content_type)
    kind = kind.lower()  # older versions of the parser leave that to us
    if kind == FORM:
        data = _file_of_form(body, options.get(b"boundary", b""))
    elif kind.startswith(b"multipart/"):
        raise RequestError(415, f"{kind.decode('latin-1')[:100]}: a form is sent as {FORM.decode()}")
    else:
        data = body
    try:
        image = open_rgb(data, _NAME, max_pixels)
        return Upload(preprocessing.apply(image), *image.size)
    except UnreadableImageError as error:
        raise RequestError(422, error.message) from error


def _file_of_form(body: bytes, boundary: bytes) -> bytes:
    if not boundary:
        raise _malformed("its Content-Type names no boundary; leave that header to the HTTP library, which knows it")
    if len(boundary) > _LONGEST_BOUNDARY:
        raise _malformed(f"its boundary has more than {_LONGEST_BOUNDARY} characters")
    form = _Form()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.on_part_begin,
            "on_header_field": form.on_header_field,
            "on_header_value": form.on_header_value,
            "on_header_end": form.on_header_end,
            "on_part_data": form.on_part_data,
            "on_end": form.on_end,
        },
    )
    try:
        with memoryview(body) as view:
            # In pieces, so that a file behind a preamble is not copied once more.
            for start in range(_end_of_preamble(body, boundary), len(body), _CHUNK_BYTES):
                parser.write(bytes(view[start : start + _CHUNK_BYTES]))
    except FormParserError as error:
        raise _malformed(str(error)[:200]) from error
    if not form.complete:
        raise _malformed("it ends too early, without its closing boundary")
    if len(form.files) != 1:
        raise RequestError(400, f"the form needs one field {FIELD!r} with the image, and has {len(form.files)}")
    return form.files[0].getvalue()


def _end_of_preamble(body: bytes, boundary: bytes) -> int:
    """Where the first boundary begins; RFC 2046 allows any text before it, which is ignored."""
    delimiter = b"--" + boundary
    if body.startswith(delimiter):
        return 0
    place = body.find(b"\r\n" + delimiter)
    if place < 0:
        raise _malformed("the boundary that its Content-Type names is nowhere in the body")
    return place + 2


def _malformed(why: str) -> RequestError:
    return RequestError(400, f"malformed {FORM.decode()}: {why}")


class _Form:
    """Callbacks of the form parser; keeps the content of the parts named `file` and ignores the others."""

    def __init__(self) -> None:
        self.files: list[io.BytesIO] = []
        self.complete = False
        self._parts = 0
        self._header = self._value = b""
        self._wanted = False

    def on_part_begin(self) -> None:
        self._parts += 1
        self._wanted = False
        if self._parts > _MAX_PARTS:  # each costs time, and one is enough
            raise RequestError(400, f"a form has at most {_MAX_PARTS} fields")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            kind, options = parse_options_header(self._value.decode("latin-1"))
            if kind.lower() == b"form-data" and options.get(b"name") == FIELD.encode():
                self._wanted = True
                self.files.append(io.BytesIO())
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self.files[-1].write(memoryview(data)[start:end])

    def on_end(self) -> None:
        self.complete = True
