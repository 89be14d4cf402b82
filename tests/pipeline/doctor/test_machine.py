"""What is said of memory, shared memory and disks; the figures themselves are set by the tests."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.doctor import machine
from pipeline.doctor.finding import Finding
from pipeline.doctor.machine import examine_machine

SHARED = Path("/dev/shm")


def found(about: str, place: Path) -> Finding:
    return next(each for each in examine_machine(place) if each.about == about)


@pytest.mark.parametrize(("gigabytes", "state"), [(0.5, "fault"), (2, "note"), (16, "ok"), (None, "note")])
def test_memory_is_judged_by_what_is_free(
    gigabytes: float | None, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = None if gigabytes is None else int(gigabytes * 1e9)
    monkeypatch.setattr(machine, "_memory_bytes", lambda: (None if free is None else 32 * 10**9, free))
    finding = found("memory", tmp_path)
    assert finding.state == state and (state == "ok") == (finding.means == "")


def test_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "/proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n",
        "/sys/fs/cgroup/memory.max": "2000000000\n",
        "/sys/fs/cgroup/memory.current": "500000000\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda self, *_: texts[str(self)])
    assert machine._memory_bytes() == (2_000_000_000, 1_500_000_000)
    texts["/sys/fs/cgroup/memory.max"] = "max\n"
    assert machine._memory_bytes() == (64_000_000 * 1024, 32_000_000 * 1024)


def disks(free: Callable[[Path], float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=int(free(Path(place)) * 1e9)))


@pytest.mark.parametrize(("gigabytes", "state"), [(0.2, "fault"), (5, "note"), (80, "ok")])
def test_disk_is_judged_by_its_room(
    gigabytes: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks(lambda _: gigabytes, monkeypatch)
    finding = found("disk of the run", tmp_path / "not" / "there")
    assert finding.state == state and str(tmp_path) in finding.found


def test_folder_that_may_not_be_written_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "access", lambda place, mode: False)
    finding = found("disk of the run", tmp_path)
    assert finding.state == "fault" and "may not be written" in finding.found and finding.remedy


def test_little_shared_memory_is_noted_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks(lambda place: 0.06 if place == SHARED else 80, monkeypatch)
    little, enough = machine._shared_memory(SHARED), machine._shared_memory(tmp_path)
    assert little is not None and little.state == "note" and "--shm-size" in little.remedy
    assert enough is not None and enough.state == "ok"
