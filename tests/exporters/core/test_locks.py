"""One process at a time holds a lock file; a dead one holds nothing."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from exporters.core import locks
from exporters.core.errors import UnavailableError
from exporters.core.locks import held, held_in_turn, held_together, is_held
from exporters.core.write_errors import WriteError
from tests.small_disk import small_disk

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


def test_lock_on_a_full_disk_is_named_with_the_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 65536) as disk:
        disk.fill()
        lock = disk.path / ".lock"
        message = rf"{lock}: cannot be written: the disk is full \(0\.0 MB are free"
        with pytest.raises(WriteError, match=message), held(lock, refusal, lasting=True):
            raise AssertionError("it is held")
        (disk.path / "filler").unlink()
        with held(lock, refusal, lasting=True):
            assert lock.read_text() == str(os.getpid())


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


_IN_TURN = """
import sys
from pathlib import Path
from exporters.core.locks import held_in_turn

count = Path(sys.argv[1])
for _ in range(50):
    with held_in_turn(count.with_name(".lock")):
        count.write_text(str(int(count.read_text()) + 1))  # two at once would lose one
"""


def test_lock_that_is_removed_after_each_turn_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    command = [sys.executable, "-c", _IN_TURN, str(count)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(timeout=300) for process in running] == [0, 0, 0, 0]
    assert count.read_text() == "200"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_turn_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / "below" / ".lock"
    with pytest.raises(KeyboardInterrupt), held_in_turn(lock):
        assert is_held(lock)
        raise KeyboardInterrupt
    assert not lock.exists()


_KILLED_WITH_A_CHILD = """
import os, sys, time
from pathlib import Path
from exporters.core.errors import UnavailableError
from exporters.core.locks import held

with held(Path(sys.argv[1]), UnavailableError, lasting=True):
    if os.fork() == 0:
        time.sleep(float(sys.argv[2]))  # as a decoding worker does, until it sees that its parent is gone
        os._exit(0)
    print("held", flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("seconds", "patience", "taken"), [(0.6, 8.0, True), (3.0, 0.2, False)])
def test_children_of_a_killed_holder_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, patience: float, taken: bool
) -> None:
    monkeypatch.setattr(locks, "_ORPHANS", patience)
    command = [sys.executable, "-c", _KILLED_WITH_A_CHILD, str(tmp_path / ".lock"), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        process.wait()
        outcome = nullcontext() if taken else pytest.raises(UnavailableError, match=str(process.pid))
        with outcome, held(tmp_path / ".lock", UnavailableError, lasting=True):
            pass
