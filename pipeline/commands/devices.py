"""The option `--devices`, and what a command does as one of several processes."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from exporters.core.errors import TmkdError
from pipeline.distributed.launch import LOST, LaunchedError, check_devices, launch
from pipeline.distributed.ranks import LAUNCHED, Rank, is_one_of_several, this_rank

if TYPE_CHECKING:
    from pipeline.console import Console

DEVICES = click.option(
    "--devices",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Train on N GPUs of this machine at once (or in N processes on its CPU).",
)

_TURN = 3.0
"""Seconds that a follower leaves the leader to report the same error."""


def on_devices(
    devices: int | None, device: Callable[[], Literal["auto", "cpu", "cuda", "mps"]], work: Callable[[], None]
) -> None:
    """Do a command's work: in this process, in N that start here, or as one of those that torchrun or srun started.

    Args:
        devices: of the option.
        device: gives the recipe's `device`; asked only where processes are to be started.
        work: what process 0 does; the others follow it.

    Raises:
        TmkdError: of the work; or the processes cannot be started, or one of them was lost.
    """
    if is_one_of_several() and (devices in (None, 1) or LAUNCHED in os.environ):
        rank = this_rank()
        try:
            _work_together(rank, work)
        except KeyboardInterrupt:
            if LAUNCHED not in os.environ and rank.leads:
                raise
            raise LaunchedError(130) from None  # whoever started the processes reports it; click would print a line
    elif devices in (None, 1):
        work()
    else:
        assert devices is not None
        check_devices(devices, device())
        launch(devices, sys.argv[1:])


def _work_together(rank: Rank, work: Callable[[], None]) -> None:
    from pipeline.distributed.group import LostProcessError, joined
    from pipeline.runner.together import follow

    try:
        with joined(rank) as group:
            if rank.leads:
                try:
                    work()
                except BaseException:
                    group.dismiss(failed=True)
                    raise
                group.dismiss()
            else:
                follow(group, _silent_console())
    except LostProcessError:
        time.sleep(2 * _TURN)  # the one that failed comes first; whoever started the processes ends this one meanwhile
        if LAUNCHED in os.environ:
            raise LaunchedError(LOST) from None
        if rank.leads:
            raise
        raise LaunchedError(LostProcessError.exit_code) from None
    except TmkdError as error:
        if not rank.leads:
            time.sleep(_TURN)
            error.message = f"{rank.describe()}: {error.message}"
        raise


def _silent_console() -> "Console":
    from pipeline.console import Console

    return Console(Path(os.devnull).open("w", encoding="utf-8"), plain=True)
