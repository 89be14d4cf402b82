"""Numbers with their nouns, as messages write them."""


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
