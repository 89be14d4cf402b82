"""Texts from elsewhere as they may be shown: what would steer a terminal is written out, and length has a bound."""

import re

LONGEST_LINE = 1_000
MOST_LINES = 200
"""Of an error message."""

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, with which terminals are sent escape sequences; and the characters of
Unicode that turn the direction of what follows, or end a line."""


def visible(text: str) -> str:
    r"""The text with each character that steers a terminal written as JSON escapes it, so that JSON keeps its value:
    ESC as `\u001b`, right-to-left override as `\u202e`. Line feeds and tabs stay.
    """
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def bounded(text: str, longest_line: int = LONGEST_LINE, most_lines: int = MOST_LINES) -> str:
    """The text with long lines cut, and with no more than so many lines; what is left out is counted."""
    lines = text.split("\n")
    shown = [line if len(line) <= longest_line else f"{line[:longest_line]}…" for line in lines[:most_lines]]
    if len(lines) > most_lines:
        shown.append(f"… and {len(lines) - most_lines:,} more lines")
    return "\n".join(shown)
