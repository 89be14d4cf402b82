"""Which images of a batch, and which batches of an evaluation, are those of one of several processes. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from exporters.core.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One of `count` equal parts, by its number from 0; by default the whole."""

    number: int = 0
    count: int = 1


WHOLE = Part()


def own_images(order: np.ndarray, batch_size: int, part: Part) -> tuple[np.ndarray, int]:
    """The images of a part in the order of an epoch, and how many it has of each batch.

    Each batch is divided into consecutive parts of one size, so that the parts together, in their order, are the
    batch that a single process takes.

    Args:
        order: int64 `[N]`, whole batches, or fewer images than one.
        batch_size: images of a batch, over all parts.
        part: which one.

    Raises:
        UsageError: a batch cannot be divided into equal parts.
    """
    if part.count == 1:
        return order, batch_size
    images = min(batch_size, len(order))
    if images % part.count or len(order) % images:
        raise UsageError(
            f"a batch of {images} images cannot be divided among {part.count} processes",
            remedy="Set batch_size to a multiple of the number of processes.",
        )
    size = images // part.count
    return order.reshape(-1, part.count, size)[:, part.number].reshape(-1), size


def own_batches(batches: Sequence[T], part: Part) -> Sequence[T]:
    """The batches of a part, which are dealt in turns; each is the one that a single process would take."""
    return batches[part.number :: part.count]
