import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.plain_letters import ERRORS, plain


def test_tables_and_typography_have_plain_letters_that_look_alike() -> None:
    assert (
        plain("┏━┳━┓ │ a │ ── stage: 1.5 × 2 ± .1 … “x” → b – c")
        == '+-+-+ | a | -- stage: 1.5 x 2 +- .1 ... "x" -> b - c'
    )
    assert plain("Pinson été\u00a0œuf Straße Łódź") == "Pinson ete oeuf Strasse Lodz"
    assert plain("鳥") == "?"


def test_an_encoding_keeps_the_letters_that_it_has() -> None:
    assert "été × ± … ─".encode("latin-1", ERRORS).decode("latin-1") == "été × ± ... -"
    assert "ж …".encode("koi8-r", ERRORS).decode("koi8-r") == "ж ..."


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r", "shift_jis", "cp437"])
@given(text=st.text(max_size=40))
def test_no_text_is_refused(encoding: str, text: str) -> None:
    shown = text.encode(encoding, ERRORS).decode(encoding)
    assert text.isascii() is False or shown == text


def test_decoding_errors_are_not_hidden() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", ERRORS)
