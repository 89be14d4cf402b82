"""Running a function in two processes that train together, as torchrun would start them."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.distributed.group import joined
from pipeline.distributed.ranks import this_rank


def in_two_processes(function: Callable[[], Any], folder: Path) -> list[Any]:
    """What a function of a module returns in process 0 and 1."""
    spawn = multiprocessing.get_context("spawn")
    first = spawn.Process(target=_fork, args=(function, folder))
    first.start()
    first.join()
    assert first.exitcode == 0
    return [torch.load(folder / f"{number}.pt", weights_only=False) for number in range(2)]


def _fork(function: Callable[[], Any], folder: Path) -> None:
    """From a process that has imported everything and started no thread yet, which importing twice would cost more."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = []
    for number in range(2):
        if (child := os.fork()) == 0:
            _join(function, number, port, folder)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os._exit(max(map(abs, codes)))


def _join(function: Callable[[], Any], number: int, port: int, folder: Path) -> None:
    place: dict[str, object] = {"RANK": number, "WORLD_SIZE": 2, "LOCAL_RANK": number, "LOCAL_WORLD_SIZE": 2}
    (folder / "turns").mkdir(exist_ok=True)
    place |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "TURNS": folder / "turns"}
    os.environ |= {name: str(value) for name, value in place.items()}
    torch.set_num_threads(1)
    try:
        with joined(this_rank()):
            torch.save(function(), folder / f"{number}.pt")
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)
