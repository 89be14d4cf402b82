"""Open files: a server that has none left cannot even accept the connections that it would refuse."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from exporters.core.errors import UsageError

_OTHERS = 128  # of the model, of logs and listeners, of processes that decode


@contextmanager
def room_for(connections: int) -> Iterator[None]:
    """A block in which this process may hold so many connections, and what it has open besides.

    Raises:
        UsageError: the system does not allow so many open files.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    needed = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard not in (unlimited, -1) and hard < needed:
        raise UsageError(
            f"{connections:,} connections need {needed:,} open files, and this process may have {hard:,}",
            remedy="Lower --max-connections, or raise the limit (ulimit -Hn, LimitNOFILE= of a service).",
        )
    if soft not in (unlimited, -1) and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
