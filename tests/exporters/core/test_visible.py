import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.visible import bounded, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\u001b[31mred"),
        ("\x1b]0;title\x07", r"\u001b]0;title\u0007"),
        ("a\x00b\rc\x9b1m\x7f", r"a\u0000b\u000dc\u009b1m\u007f"),
        ("safe\u202eexe.gpj\u2066\u2028", r"safe\u202eexe.gpj\u2066\u2028"),
        ("line\n\ttab — ü 鳥 🐦 \\x1b", "line\n\ttab — ü 鳥 🐦 \\x1b"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_no_control_character_is_left_and_nothing_else_is_changed(text: str) -> None:
    shown = visible(text)
    assert not [each for each in shown if unicodedata.category(each) == "Cc" and each not in "\n\t"]
    assert visible(shown) == shown
    kept = "".join(each for each in text if visible(each) == each)
    assert len(shown) >= len(text) and (shown == text) == (kept == text)


@given(st.text())
def test_json_stays_the_same_value(text: str) -> None:
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


def test_long_messages_are_cut_and_say_so() -> None:
    assert bounded("abc", 3, 1) == "abc"
    assert bounded("abcd", 3, 1) == "abc…"
    assert bounded("a\nb\nc\nd", 3, 2) == "a\nb\n… and 2 more lines"
