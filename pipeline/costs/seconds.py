"""Seconds on the clock and of processors, and prices in them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """Time that something takes.

    Attributes:
        wall: on the clock.
        cpu: of this process on all processors together; on a GPU that of feeding it.
    """

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __mul__(self, factor: float) -> "Seconds":
        return Seconds(self.wall * factor, self.cpu * factor)


def total(amounts: Mapping[str, float], prices: Mapping[str, Seconds]) -> Seconds:
    """The sum of amounts at their prices.

    Args:
        amounts: operation → how often.
        prices: operation → what one costs.

    Raises:
        KeyError: an operation without a price.
    """
    return sum((prices[name] * amount for name, amount in amounts.items() if amount), Seconds())
