"""The processes of a training as a group: how one joins it, works as its leader or follower, and leaves it."""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from exporters.core.errors import UnavailableError
from exporters.core.process_state import quiet
from pipeline.distributed import collectives
from pipeline.distributed.meeting import meet
from pipeline.distributed.ranks import LAUNCHED, Rank, slurm_variables

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, who may be loading weights; those that follow wait without limit between
the trainings."""

GRACE = 8.0
"""Seconds between SIGTERM and the end of a process that does not hear it, as one that waits for a GPU."""

_SHORTEST_LOOK, _LONGEST_LOOK = 0.02, 0.5


class LostProcessError(UnavailableError):
    """Another process of the training has ended, and nothing can go on."""


@dataclass
class Group:
    """The group that this process is in.

    Attributes:
        rank: which process this is.
        calls: how many messages the leader has sent.
        failed: whether the leader has ended with an error, so that nobody need wait for it.
    """

    rank: Rank
    store: Any
    calls: int = 0
    failed: bool = False

    def send(self, message: Any) -> None:
        """Send a message to all followers, who must be waiting for it or come to do so."""
        self.calls += 1
        self.store.set(f"call {self.calls}", "message")
        with collectives.sharing():
            collectives.from_leader(message)

    def dismiss(self, failed: bool = False) -> None:
        """Tell the followers that no more messages come, and whether an error ends the work; waits for none of them."""
        self.calls += 1
        self.store.set(f"call {self.calls}", "failed" if failed else "end")

    def receive(self) -> Any:
        """Wait for the leader's next message, which may take as long as it likes; None after the last one."""
        self.calls += 1
        pause = _SHORTEST_LOOK
        while not self.store.check([f"call {self.calls}"]):
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        word = self.store.get(f"call {self.calls}")
        self.failed = word == b"failed"
        if word != b"message":
            return None
        with collectives.sharing():
            return collectives.from_leader(None)


_joined: list[Group] = []


def current_group() -> Group | None:
    """The group that this process is in; None where it trains alone."""
    return _joined[-1] if _joined else None


@contextmanager
def joined(rank: Rank) -> Iterator[Group]:
    """A block in which this process is in the group of all; begins when every one of them has come.

    Raises:
        LostProcessError: what the block raised because another process had ended.
        UsageError, UnavailableError: the others cannot be reached.
    """
    os.environ.update(slurm_variables(os.environ))
    _end_when_told()
    store = meet(rank, PATIENCE)
    try:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank.number, world_size=rank.count, timeout=PATIENCE)
        collectives._objects.append(distributed.new_group(backend="gloo", timeout=PATIENCE))
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise UnavailableError(f"the {rank.count} processes cannot speak with each other: {reason}") from error
    _joined.append(Group(rank, distributed.PrefixStore("tmkd", store)))
    try:
        yield _joined[-1]
        if not _joined[-1].failed:
            distributed.barrier(group=collectives._objects[-1])
    except Exception as error:
        lost = as_lost_process(error, rank)
        if lost is error:
            raise
        raise lost from error
    finally:
        _leave()


def as_lost_process(error: Exception, rank: Rank) -> Exception:
    """The error itself; where it, or what it follows from, is that of a connection to another process, one that says
    so in place of what gloo or NCCL say.

    Args:
        error: any.
        rank: of this process.
    """
    if isinstance(error, LostProcessError) or not _is_loss(error):
        return error
    return LostProcessError(
        f"{rank.describe()} lost another one, which was ended or failed",
        remedy="If it printed no message of its own, look for kills and for memory (dmesg); the same command"
        " goes on from the last checkpoint.",
    )


def _leave() -> None:
    _joined.pop()
    gc.collect()  # wrappers of DDP hold the group
    collectives._objects.pop()
    with quiet(), suppress(Exception):  # a group that is broken already
        distributed.destroy_process_group()


def _is_loss(error: BaseException | None) -> bool:
    """Whether an error, or what it follows from, is that of a connection to another process."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, distributed.DistError):
            return True
        words = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "process group")
        if type(error) is RuntimeError and any(word in str(error).lower() for word in words):
            return True
        error = error.__cause__ or error.__context__
    return False


def _end_when_told() -> None:
    """From now on, this process ends some seconds after SIGTERM even where it does not hear it, waiting in C++ code;
    one that was launched does so as well when its launcher is gone."""
    if threading.current_thread() is not threading.main_thread():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def listen() -> None:
        while (heard := os.read(reader, 1)) and heard[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        time.sleep(GRACE)
        os._exit(128 + heard[0] if heard else 1)

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
    if LAUNCHED in os.environ:
        threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
