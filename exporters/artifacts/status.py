"""What becomes of an artifact."""

from enum import StrEnum


class Status(StrEnum):
    """Whether an artifact ships; the values are those of `parity.json`."""

    SHIPPED = "shipped"
    REJECTED = "rejected"
    """It failed its gate, or what it is built from did."""
    NOT_USEFUL = "not useful"
    """It passed, and is not faster than fp32 here."""
    NOT_SHIPPED = "not shipped"
    """It passed, and is only the source of an engine that does not ship."""
    UNPROVED = "not proved"
    """It could not be run here."""
    NOT_MADE = "not made"
