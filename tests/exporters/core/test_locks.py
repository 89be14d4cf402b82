"""One process at a time holds a lock file; a dead one holds nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.core.locks import held, held_together, is_held

HOLD = """
import sys, time
from pathlib import Path
from exporters.core.errors import UnavailableError
from exporters.core.locks import held
with held(Path(sys.argv[1]), UnavailableError):
    print("held", flush=True)
    time.sleep(600)
"""


def refusal(process: str) -> UnavailableError:
    return UnavailableError(f"held by {process}")


def test_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / "below" / ".lock"
    with held(lock, refusal):
        with pytest.raises(UnavailableError, match=f"held by {os.getpid()}"), held(lock, refusal):
            pass
        assert lock.is_file()
    assert not lock.exists()
    with held(lock, refusal, lasting=True):
        pass
    assert lock.read_text() == str(os.getpid())
    with held(lock, refusal):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(UnavailableError, match=f"held by {process.pid}"), held(lock, refusal):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lock.is_file()
    with held(lock, refusal):
        assert lock.read_text() == str(os.getpid())


def test_lock_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be written"), held(tmp_path / "file" / ".lock", refusal):
        pass


def test_several_hold_a_lock_together_and_keep_away_who_wants_it_alone(tmp_path: Path) -> None:
    lock = tmp_path / "below" / ".lock"
    assert not is_held(lock) and not lock.parent.exists()
    with held_together(lock):
        with held_together(lock), pytest.raises(UnavailableError, match="held by"), held(lock, refusal):
            pass
        assert is_held(lock)
    assert not is_held(lock) and lock.is_file()
    with held(lock, refusal):
        assert is_held(lock)
