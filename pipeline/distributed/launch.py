"""Starting the processes of a training on this machine by torch.distributed's elastic launcher, torchrun's own."""

import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.core.interrupts import Terminated
from exporters.core.process_state import environment
from pipeline.distributed.ranks import LAUNCHED, is_one_of_several

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

LOST = 74
"""Exit code of a process that ends because another one did."""

_TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process of ours that was told to end."""

_AGAIN = "The same command goes on from the last checkpoint."

SHUTDOWN = 15
"""Seconds that processes have to end before they are killed."""


class LaunchedError(TmkdError):
    """The processes ended without success and have said why themselves.

    Args:
        code: the exit code of the one that failed.
    """

    def __init__(self, code: int) -> None:
        super().__init__("")
        self.exit_code = code


def check_devices(count: int, device: str) -> None:
    """See whether this machine has so many devices.

    Args:
        count: processes, 2 or more.
        device: the recipe's `device`.

    Raises:
        UsageError: these processes are themselves among several, or the device is one of a kind.
        UnavailableError: there are fewer GPUs, or fewer processors, than processes.
    """
    import torch

    if is_one_of_several():
        raise UsageError(
            f"--devices {count}: torchrun or srun has started several processes already", remedy="Leave --devices out."
        )
    if device == "mps" or (device == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available()):
        raise UsageError(f"--devices {count}: MPS is one device", remedy="Leave --devices out, or set device=cpu.")
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        found, what = torch.cuda.device_count(), "GPU"
    else:
        found, what = _processors(), "processor"
    if count > found:
        raise UnavailableError(
            f"--devices {count}: this machine has {found} {what}{'' if found == 1 else 's'}; each process takes one",
            remedy=f"Use --devices {found}." if found > 1 else "Leave --devices out.",
        )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launch(count: int, arguments: Sequence[str]) -> None:
    """Run `tmkd-pipeline` with these arguments in several processes on this machine, and wait for them.

    Raises:
        LaunchedError: they failed and have said why.
        UnavailableError: one of them was killed, or failed without a word.
        KeyboardInterrupt: interrupted or terminated; the processes are ended.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    options: dict[str, Any] = {"shutdown_timeout": SHUTDOWN} if _takes_shutdown_timeout(LaunchConfig) else {}
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=f"tmkd-{os.getpid()}", rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, **options,
    )  # fmt: skip
    command = ["-m", "pipeline", *arguments]
    threads = max(1, _processors() // count)
    _silence_launcher()  # this process does nothing else
    with ExitStack() as stack:
        stack.enter_context(environment(LAUNCHED, str(os.getpid())))
        stack.enter_context(environment("OMP_NUM_THREADS", str(threads)))
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as failed:
            raise _described(failed, count) from failed
        except SignalException as told:
            if told.sigval == signal.SIGINT:
                raise KeyboardInterrupt from told
            raise Terminated(told.sigval) from told


def _silence_launcher() -> None:
    """Let PyTorch's launcher print nothing of its own; some of its loggers have a level that they do not inherit."""
    for name in ("torch.distributed.elastic", *logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _takes_shutdown_timeout(config: type) -> bool:
    return any(field.name == "shutdown_timeout" for field in dataclasses.fields(config))


def _described(failed: "ChildFailedError", count: int) -> TmkdError:
    """What to tell of a failure: nothing where the process that failed has told it itself."""
    codes = {rank: failure.exitcode for rank, failure in sorted(failed.failures.items())}
    told = [code for code in codes.values() if code > 0 and code not in (LOST, _TERMINATED)]
    if told:
        return LaunchedError(told[0])
    # The others were ended by the launcher, or lost the one that was killed.
    signals = {
        rank: signal.SIGTERM if code == _TERMINATED else signal.Signals(-code)
        for rank, code in codes.items()
        if code != LOST
    }
    if not signals:
        return UnavailableError("the processes lost each other", remedy=_AGAIN)
    rank = min(signals, key=lambda rank: (signals[rank] == signal.SIGTERM, rank))
    reason = " (if nobody did that, memory ran out)" if signals[rank] == signal.SIGKILL else ""
    return UnavailableError(
        f"process {rank + 1} of {count} was ended by {signals[rank].name}{reason}; so were the others, which cannot go"
        " on without it",
        remedy=_AGAIN,
    )
