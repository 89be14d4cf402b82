import importlib
import logging
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from pipeline.distributed import launch
from pipeline.distributed.launch import LOST, LaunchedError, check_devices


def described(**codes: int) -> TmkdError:
    failures = {int(name.removeprefix("rank")): SimpleNamespace(exitcode=code) for name, code in codes.items()}
    failed: Any = SimpleNamespace(failures=failures)
    return launch._described(failed, 4)


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_exit_code_of_the_process_that_failed_is_that_of_the_command(code: int):
    error = described(rank0=code, rank1=128 + signal.SIGTERM, rank2=LOST)
    assert isinstance(error, LaunchedError)
    assert error.exit_code == code
    assert error.message == ""  # it has told its error itself


def test_a_killed_process_is_named_and_not_those_that_were_ended_for_it():
    error = described(rank0=128 + signal.SIGTERM, rank1=-signal.SIGTERM, rank2=-signal.SIGKILL, rank3=LOST)
    assert isinstance(error, UnavailableError)
    assert "process 3 of 4 was ended by SIGKILL" in error.message
    assert "goes on from the last checkpoint" in str(error)
    assert "SIGSEGV" in described(rank1=-signal.SIGSEGV).message


def test_processes_that_only_lost_each_other_say_so():
    assert "lost each other" in described(rank0=LOST, rank1=LOST).message
    assert "process 2 of 4 was ended by SIGTERM" in described(rank1=128 + signal.SIGTERM).message


def test_more_processes_than_processors_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "_processors", lambda: 2)
    check_devices(2, "cpu")
    with pytest.raises(UnavailableError, match=r"--devices 3: this machine has 2 processors") as refused:
        check_devices(3, "cpu")
    assert refused.value.remedy == "Use --devices 2."


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for device in ("auto", "cuda"):
        with pytest.raises(UnavailableError, match=r"--devices 2: this machine has 1 GPU;"):
            check_devices(2, device)


def test_processes_do_not_start_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="has started several processes already"):
        check_devices(2, "cpu")


def test_mps_is_one_device():
    with pytest.raises(UsageError, match="MPS is one device"):
        check_devices(2, "mps")


def test_launcher_prints_nothing_of_its_own(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """It would warn of each Ctrl-C, beside the message of the command."""
    agent = importlib.import_module("torch.distributed.elastic.agent.server.api")
    for name in ("torch.distributed.elastic", *logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)
            logging.getLogger(name)._cache.clear()  # type: ignore[attr-defined]
    launch._silence_launcher()
    agent.logger.warning("Received %s death signal, shutting down workers", 2)
    agent.logger.error("failed")
    assert not caplog.records and not agent.logger.isEnabledFor(logging.ERROR)
