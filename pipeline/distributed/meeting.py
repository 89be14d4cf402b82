"""Where the processes of a training meet: the address and port of the first one, and who waits there for whom."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from torch import distributed

from exporters.core.errors import UnavailableError
from pipeline.distributed.ranks import Rank, number_in
from pipeline.streams import echo

ARRIVAL = timedelta(minutes=10)
"""How long a process waits for all others to come."""

NOTICE = 60.0
"""Seconds after which it says that it waits."""

_NAME_TRIES, _NAME_PAUSE = 4, 1.0


def meet(rank: Rank, patience: timedelta) -> Any:
    """The store in which all processes of a training exchange words; comes back when every one of them is there.

    Args:
        rank: which process this is.
        patience: how long it will wait for a word of another one, once all are there.

    Raises:
        UsageError: `MASTER_PORT` is no port.
        UnavailableError: `MASTER_ADDR` or `MASTER_PORT` is missing, there is no such machine, the port is taken, or
            the others do not come.
    """
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise UnavailableError(
                f"environment variable {name}: missing, so that the processes cannot find each other",
                remedy="Start them with torchrun or srun; by hand, give each the address and a free port of the first.",
            )
    host, port = os.environ["MASTER_ADDR"], number_in(os.environ, "MASTER_PORT", least=1, below=1 << 16)
    _require_machine(host, port)
    with _noticed(f"{rank.describe()} waits for the others at {host}:{port}"):
        try:
            store = next(iter(distributed.rendezvous("env://", rank.number, rank.count, timeout=ARRIVAL)))[0]
        except Exception as error:
            raise _refused(error, rank, host, port) from error
    store.set_timeout(patience)
    return store


def _require_machine(host: str, port: int) -> None:
    for again in range(_NAME_TRIES):
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return
        except (OSError, UnicodeError) as error:
            reason = error
        if again + 1 < _NAME_TRIES:  # a node that has just started may not know the others' names yet
            time.sleep(_NAME_PAUSE)
    raise UnavailableError(
        f"environment variable MASTER_ADDR: no machine is found by the name {host[:200]!r} ({reason})",
        remedy="Set it to the name or address of the machine of the first process, as this machine knows it.",
    ) from reason


def _refused(error: Exception, rank: Rank, host: str, port: int) -> UnavailableError:
    words = str(error)
    if "EADDRINUSE" in words or "address already in use" in words.lower():
        return UnavailableError(
            f"environment variable MASTER_PORT: {port} is in use on this machine",
            remedy="Set another one, the same for all processes; a run that has not ended may hold it.",
        )
    reason = (words or type(error).__name__).splitlines()[0][:300]
    return UnavailableError(
        f"the {rank.count} processes do not meet at {host}:{port} ({reason})",
        remedy=f"See that all {rank.count} of them have started, with the same MASTER_ADDR and MASTER_PORT, and that"
        " this port can be reached from each machine.",
    )


@contextmanager
def _noticed(message: str) -> Iterator[None]:
    """A block that says on the error stream what it waits for, where that takes long."""
    timer = threading.Timer(NOTICE, lambda: echo(message, err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
