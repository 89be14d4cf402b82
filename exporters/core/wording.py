"""Numbers with their nouns, p-values and lists of names, as messages write them."""

from collections.abc import Sequence


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `1,200 images`, `0 classes`.

    Args:
        number: how many.
        noun: for one.
        plural: for any other number; default: with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def was_or_were(number: int) -> str:
    """The verb that follows `count_of`."""
    return "was" if number == 1 else "were"


def first_of(names: Sequence[str], most: int, *, clauses: bool = False) -> str:
    """`cat, dog and 3 more`: the first names, at most so many, and how many others there are.

    Args:
        names: all of them.
        most: how many are written out.
        clauses: whether they are whole clauses, which semicolons separate: `a is NaN; b is NaN; and 3 more`.
    """
    shown = ("; " if clauses else ", ").join(names[:most])
    return f"{shown}{';' if clauses else ''} and {len(names) - most:,} more" if len(names) > most else shown


def byte_count(size: float) -> str:
    """Bytes as people read them: `1.25 GB`, `2.00 MB`, `3.10 kB`; powers of ten."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB") if size >= 1e4 else (1e3, "kB")
    return f"{size / unit:,.2f} {name}"


def p_value(p: float, *, alone: bool = False) -> str:
    """`p = 0.0052`, `p < 0.0001`; alone: `0.0052`, `< 0.0001`."""
    if p < 1e-4:
        return "< 0.0001" if alone else "p < 0.0001"
    return f"{p:.2g}" if alone else f"p = {p:.2g}"
