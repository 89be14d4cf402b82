"""Letters of typography and of tables in plain ones, for output whose encoding does not have them."""

import codecs
import unicodedata

ERRORS = "plain-letters"
"""The error handler for streams: `open(…, errors=ERRORS)` once this module is imported."""

_PLAIN = {
    **dict.fromkeys("‐‑‒–—―−─━╌╍═", "-"), **dict.fromkeys("│┃║", "|"), **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("“”„″", '"'), **dict.fromkeys("•·∙", "*"),
    "…": "...", "×": "x", "→": "->", "←": "<-", "±": "+-", "≤": "<=", "≥": ">=", "≈": "~", "≠": "!=", "µ": "u",
    "α": "alpha", "σ": "sigma", "∞": "inf", "°": " deg", "©": "(c)", "€": "EUR", "ß": "ss", "æ": "ae", "ø": "o",
    "Æ": "AE", "Ø": "O", "œ": "oe", "ł": "l", "Ł": "L",
}  # fmt: skip


def plain(text: str) -> str:
    """The text in ASCII: what looks alike in place of the letters of typography and tables, letters without their
    marks, and `?` for the rest."""
    return text.encode("ascii", ERRORS).decode("ascii")


def _letter(letter: str) -> str:
    if letter in _PLAIN:
        return _PLAIN[letter]
    if "\u2500" <= letter <= "\u257f":  # corners and crossings of tables
        return "+"
    if "\u2580" <= letter <= "\u259f":
        return "#"
    if letter.isspace():
        return " "
    unmarked = "".join(each for each in unicodedata.normalize("NFKD", letter) if each.isascii())
    return unmarked or "?"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    texts = (_letter(letter) for letter in found)
    return "".join(_encodable(text, error.encoding) for text in texts), error.end


def _encodable(text: str, encoding: str) -> str:
    """The text, or question marks where even it cannot be encoded; what an error handler gives must be."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "?" * len(text)
    return text


codecs.register_error(ERRORS, _replaced)
