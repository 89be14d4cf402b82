"""What is being done, and how far: told by whoever works, shown by whoever listens."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Steps(Protocol):
    """Counts the steps of a piece of work."""

    def advance(self, steps: int = 1) -> None:
        """Count steps that are done."""


Track = Callable[[str, int | None], AbstractContextManager[Steps]]
"""Shows a piece of work, by its description and number of steps (None: not known), until its block ends."""


class _Unseen:
    def advance(self, steps: int = 1) -> None:
        """Nobody listens."""


@contextmanager
def _unseen(_description: str, _total: int | None) -> Iterator[Steps]:
    yield _Unseen()


_track: ContextVar[Track] = ContextVar("track", default=_unseen)


@contextmanager
def shown_by(track: Track) -> Iterator[None]:
    """Have what is done in this block, however deep, shown by `track`."""
    token = _track.set(track)
    try:
        yield
    finally:
        _track.reset(token)


def working(description: str, total: int | None = None) -> AbstractContextManager[Steps]:
    """Tell that work of `total` steps (None: not known) is done in this block.

    Args:
        description: what is done, in a few words, such as `int8: ranking layers`.
        total: how many steps it has.
    """
    return _track.get()(description, total)


def counted(
    batches: Iterable[Item], description: str, total: int | None, size: Callable[[Item], int] = lambda _item: 1
) -> Iterator[Item]:
    """The items as they come, with a step counted for each that was worked on.

    Args:
        batches: the items.
        description: what is done with them.
        total: how many steps there are.
        size: how many steps an item is worth.
    """
    with working(description, total) as steps:
        for item in batches:
            yield item
            steps.advance(size(item))
