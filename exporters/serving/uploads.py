"""An image out of a request's body: the part `file` of a form, or the body itself."""

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from exporters.client import Student
from exporters.images import UnreadableImageError, open_rgb
from exporters.serving.problems import RequestError

FIELD = "file"
_MOST_PARTS = 16
_NAME = "the upload"  # never the client's file name, which may be a path


def prepare_upload(student: Student, body: bytes, content_type: str | None, max_pixels: int) -> np.ndarray:
    """What `Student.prepare` makes of the image in a body, uint8 `[size, size, 3]`; takes a while, without the lock.

    Args:
        student: whose preprocessing is followed.
        body: a form (`multipart/form-data`) with one file in the field `file`, or, of any other type, an image file.
        content_type: of the request. What kind of image it is follows from its content alone.
        max_pixels: more are refused before any is decoded.

    Raises:
        RequestError: 400 for a form that is malformed or has no such file, 422 for what is no image, or a damaged one,
            or one that is too large.
    """
    kind, options = parse_options_header(content_type)
    data = _file_of_form(body, options.get(b"boundary", b"")) if kind == b"multipart/form-data" else body
    try:
        return student.preprocessing.apply(open_rgb(data, _NAME, max_pixels))
    except UnreadableImageError as error:
        raise RequestError(422, error.message) from error


def _file_of_form(body: bytes, boundary: bytes) -> bytes:
    form = _Form()
    try:
        parser = MultipartParser(
            boundary or b"-",
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_part_data": form.on_part_data,
                "on_end": form.on_end,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise RequestError(400, f"malformed multipart/form-data: {str(error)[:200]}") from error
    if not boundary or not form.complete:
        why = "it ends too early" if boundary else "no boundary"
        raise RequestError(400, f"malformed multipart/form-data: {why}")
    if len(form.files) != 1:
        raise RequestError(400, f"the form needs one field {FIELD!r} with the image, and has {len(form.files)}")
    return b"".join(form.files[0])


class _Form:
    """Keeps the content of the parts that are called `file`, and nothing else of a form."""

    def __init__(self) -> None:
        self.files: list[list[bytes]] = []
        self.complete = False
        self._parts = 0
        self._header = self._value = b""
        self._wanted = False

    def on_part_begin(self) -> None:
        self._parts += 1
        self._wanted = False
        if self._parts > _MOST_PARTS:  # each costs time, and an image needs one
            raise RequestError(400, f"a form has at most {_MOST_PARTS} fields")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            kind, options = parse_options_header(self._value.decode("latin-1"))
            if kind == b"form-data" and options.get(b"name") == FIELD.encode():
                self._wanted = True
                self.files.append([])
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self.files[-1].append(data[start:end])

    def on_end(self) -> None:
        self.complete = True
