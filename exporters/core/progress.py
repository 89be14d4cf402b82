"""Progress of long work: reported by the code that does it, shown by whatever listens, such as a console."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Steps(Protocol):
    """Counts the finished steps of a piece of work."""

    def advance(self, steps: int = 1) -> None:
        """Count finished steps."""


Track = Callable[[str, int | None], AbstractContextManager[Steps]]
"""Shows a piece of work, by its description and number of steps (None: not known), until its block ends."""


class _Ignored:
    def advance(self, steps: int = 1) -> None:
        """Do nothing: nobody listens."""


@contextmanager
def _ignore(_description: str, _total: int | None) -> Iterator[Steps]:
    yield _Ignored()


_track: ContextVar[Track] = ContextVar("track", default=_ignore)


@contextmanager
def shown_by(track: Track) -> Iterator[None]:
    """A block whose work, however deeply nested, is shown by `track`."""
    token = _track.set(track)
    try:
        yield
    finally:
        _track.reset(token)


def working(description: str, total: int | None = None) -> AbstractContextManager[Steps]:
    """A block that does a piece of work; gives the counter of its steps.

    Args:
        description: what is done, in a few words, such as `int8: ranking layers`.
        total: number of steps; None: not known.
    """
    return _track.get()(description, total)


def counted(
    batches: Iterable[Item], description: str, total: int | None, size: Callable[[Item], int] = lambda _item: 1
) -> Iterator[Item]:
    """Iterate over items and count each one after it was processed.

    Args:
        batches: the items.
        description: what is done with them.
        total: number of steps; None: not known.
        size: number of steps that an item counts for.
    """
    with working(description, total) as steps:
        for item in batches:
            yield item
            steps.advance(size(item))
