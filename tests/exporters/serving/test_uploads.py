import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.client import Student
from exporters.serving.problems import RequestError
from exporters.serving.uploads import prepare_upload

from .conftest import form, photo

MULTIPART = "multipart/form-data; boundary=limit"


@pytest.fixture(scope="module")
def student(packed: Path) -> Student:
    return Student.load(packed, threads=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_body_and_form_give_what_the_client_prepares(student: Student, kind: str) -> None:
    data = photo(kind=kind)
    expected = student.prepare(data)
    for content_type in (None, "", "image/jpeg", "application/x-www-form-urlencoded", "no type at all"):
        np.testing.assert_array_equal(prepare_upload(student.preprocessing, data, content_type, 10**6).pixels, expected)
    body, headers = form(data, filename="../../etc/passwd")
    np.testing.assert_array_equal(
        prepare_upload(student.preprocessing, body, headers["Content-Type"], 10**6).pixels, expected
    )


def test_other_form_fields_are_ignored(student: Student) -> None:
    data = photo()
    other = b'--limit\r\nContent-Disposition: form-data; name="note"\r\n\r\nfile\r\n'
    found = prepare_upload(
        student.preprocessing, other + form(data)[0], 'Multipart/Form-Data; boundary="limit"', 10**6
    ).pixels
    np.testing.assert_array_equal(found, student.prepare(data))


def test_image_over_the_pixel_limit_is_refused(student: Student) -> None:
    data = photo(width=60, height=41)
    prepare_upload(student.preprocessing, data, None, 60 * 41)
    with pytest.raises(RequestError, match="60x41 is more than 2,459 pixels") as caught:
        prepare_upload(student.preprocessing, data, None, 60 * 41 - 1)
    assert caught.value.status == 422


@pytest.mark.parametrize("length", [0, 1, 2**20 - 3, 2**20, 2**20 + 1, 2**21])
def test_preamble_and_epilogue_are_ignored(student: Student, length: int) -> None:
    data = photo(kind="PNG")
    preamble = (b"This is a message in parts. --limi\r\n" * (length // 30 + 1))[:length]
    body = preamble + b"\r\n" + form(data)[0] + b"\r\n--limit\r\nepilogue"
    for kind in (
        MULTIPART,
        'multipart/form-data; charset=utf-8; boundary="limit"',
        "Multipart/Form-Data;boundary=limit",
    ):
        np.testing.assert_array_equal(
            prepare_upload(student.preprocessing, body, kind, 10**6).pixels, student.prepare(data)
        )


def test_file_larger_than_a_piece_of_the_parser_comes_whole(student: Student) -> None:
    data = photo(width=1600, height=1200, kind="BMP")
    assert len(data) > 5 * 2**20
    body, headers = form(data)
    np.testing.assert_array_equal(
        prepare_upload(student.preprocessing, body, headers["Content-Type"], 10**7).pixels, student.prepare(data)
    )


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=limit", "multipart/related"])
def test_multipart_of_another_kind_is_not_taken_for_an_image(student: Student, kind: str) -> None:
    with pytest.raises(RequestError, match="sent as multipart/form-data") as caught:
        prepare_upload(student.preprocessing, form(photo())[0], kind, 10**6)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (form(photo())[0][:-9], MULTIPART, "too early"),
        (form(photo())[0], "multipart/form-data", "its Content-Type names no boundary"),
        (form(photo())[0], 'multipart/form-data; boundary=""', "its Content-Type names no boundary"),
        (form(photo())[0], "multipart/form-data; boundary=other", "names is nowhere in the body"),
        (form(photo())[0], "multipart/form-data; boundary=" + "x" * 5000, "more than 70 characters"),
        (b"", MULTIPART, "names is nowhere in the body"),
        (b"text --limit\r\n" + form(photo())[0][9:], MULTIPART, "has 0|malformed"),  # within a line it is no boundary
        (form(photo())[0].replace(b"--limit--", b"--limit"), MULTIPART, "without its closing boundary"),
        (b"--limit--\r\n", MULTIPART, "has 0|malformed"),
        (form(photo(), name="image")[0], MULTIPART, "has 0"),
        (form(photo())[0].replace(b"--limit--\r\n", b"") + form(photo())[0], MULTIPART, "has 2"),
        (b"--limit\r\n\x01: x\r\n\r\n\r\n--limit--\r\n", MULTIPART, "malformed"),
        (b"--limit\r\nA: b\r\n\r\n\r\n" * 17 + b"--limit--\r\n", MULTIPART, "at most 16"),
    ],
)
def test_malformed_forms_are_refused(student: Student, body: bytes, kind: str, told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        prepare_upload(student.preprocessing, body, kind, 10**6)
    assert caught.value.status == 400


@settings(deadline=None, max_examples=60)
@given(body=st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: form(data)[0]), form_=st.booleans())
def test_arbitrary_bodies_get_a_clear_refusal(student: Student, body: bytes, form_: bool) -> None:
    with pytest.raises(RequestError) as caught:
        prepare_upload(student.preprocessing, body, MULTIPART if form_ else None, 10**6)
    assert caught.value.status in (400, 422)
    assert not re.search(r"0x[0-9a-f]{6,}", caught.value.message), "an address of memory"
