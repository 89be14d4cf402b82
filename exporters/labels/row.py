"""One entry of a file of labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One entry of a file.

    Attributes:
        key: what stands before the value; None in a list.
        values: the texts of the value; one, or several as in `["n01440764", "tench"]`.
        line: where it stands, from 1.
        whole: whether the value is a whole number and no text.
    """

    key: str | None
    values: tuple[str, ...]
    line: int
    whole: bool = False


def is_index(text: str) -> bool:
    """Whether a text is a number that can count classes."""
    return text.isascii() and text.isdecimal() and len(text) < 10
