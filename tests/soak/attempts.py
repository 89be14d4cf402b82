"""A command of `tmkd-pipeline` in a process that can be stopped and killed at any moment, with all its own. Linux."""

import ast
import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG, TOLD = "log.txt", "told.txt"
_PATIENCE = 1800.0
_ALL_THREADS = 2
"""With the number of a process, the name of its clock: `MAKE_PROCESS_CPUCLOCK` of Linux."""


class Attempt:
    """A command in a process that shares what this one has imported; it and its own processes are a group.

    Args:
        arguments: of `tmkd-pipeline`.
        place: its working directory; what it says goes to `LOG` there.
        tells: whether what it has imported and tried goes to `TOLD` there at its end, for `learn`.
    """

    def __init__(self, arguments: Sequence[str], place: Path, *, tells: bool = False) -> None:
        self.code: int | None = None
        self.started = time.time()
        self._ended_seconds = 0.0
        self._pid = os.fork()
        if self._pid == 0:
            _run(arguments, place, tells)
        with suppress(OSError):  # as the process does itself, whichever of the two comes first
            os.setpgid(self._pid, self._pid)

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def is_running(self) -> bool:
        """Whether it has not ended."""
        if self.code is None:
            pid, status, used = os.wait4(self._pid, os.WNOHANG)
            if pid != 0:
                self.code, self._ended_seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        return self.code is None

    @property
    def seconds(self) -> float:
        """Of processor time that it has taken; once it has ended, with those of its processes."""
        if self.code is None:
            with suppress(OSError):
                return time.clock_gettime((~self._pid << 3) | _ALL_THREADS)
        return self._ended_seconds

    def wait(self) -> int:
        """Its exit code."""
        end = time.monotonic() + _PATIENCE
        while self.is_running() and time.monotonic() < end:
            time.sleep(0.01)
        if self.code is None:
            self.kill()
        assert self.code is not None
        return self.code

    def stop(self) -> None:
        """Let it stand still until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `stop`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it and its processes without warning; nothing where it has ended."""
        if not self.is_running():
            return
        self._signal(signal.SIGKILL)
        _, status, used = os.wait4(self._pid, 0)
        self.code, self._ended_seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, number)


def _run(arguments: Sequence[str], place: Path, tells: bool) -> None:
    """In the new process."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(place)
        log = os.open(LOG, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["tmkd-pipeline", *arguments]
        from pipeline.__main__ import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        if tells:
            Path(TOLD).write_text(repr({"modules": sorted(sys.modules), "rehearsals": _rehearsals}))
        os._exit(code)


def import_libraries() -> None:
    """What every attempt needs, once; no thread may have been started when it forks."""
    import onnx
    import onnxruntime
    import onnxscript
    import open_clip
    import timm
    import torch
    import torchvision

    import exporters.command.export
    import pipeline.comparison.compare
    from pipeline.stages.registry import STAGES

    assert STAGES and all((onnx, onnxruntime, onnxscript, open_clip, timm, torchvision, exporters, pipeline))
    torch.set_num_threads(1)


def learn(told: Path) -> None:
    """What an attempt has told, so that later ones need not find it out: they begin with it."""
    found = ast.literal_eval(told.read_text())
    for name in found["modules"]:
        if name not in sys.modules and not name.startswith("__"):
            with suppress(Exception):  # what was imported under a condition that does not hold here
                importlib.import_module(name)
    _rehearsals.update(found["rehearsals"])
    # The pages of what is here already are not copied for each attempt by its collections.
    gc.collect()
    gc.freeze()
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads > 1:
        raise SystemExit(f"{threads} threads run: processes cannot be forked safely")


_rehearsals: dict[tuple[Any, ...], Any] = {}


def remember_rehearsals() -> None:
    """Let the export of an untrained network, which is tried before each training, be tried once for all attempts."""
    from pipeline.preflight import exporting

    tried = exporting._objections

    def remembered(*asked: Any) -> Any:
        if asked not in _rehearsals:
            _rehearsals[asked] = tried(*asked)
        return _rehearsals[asked]

    exporting._objections = remembered  # type: ignore[assignment]
