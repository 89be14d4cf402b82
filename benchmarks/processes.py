"""CPU time and memory of a process with its children, from Linux's `/proc`."""

import os
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and all that it started, as far as they live."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(word) for thread in threads for word in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(found for child in children for found in tree(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time so far; children that have ended count where they were waited for."""
    ticks = 0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


_OWN = ("Pss_Anon:", "Pss_Shmem:")
_RESIDENT = ("Pss:",)


def own_bytes(pid: int) -> int:
    """Memory that is of no file; pages that several of the processes share count once.

    Libraries would count more or less as others on the machine use them too.
    """
    return _bytes(pid, _OWN)


def resident_bytes(pid: int) -> int:
    """Memory with the pages of mapped files that were read; pages that several processes share count once."""
    return _bytes(pid, _RESIDENT)


def _bytes(pid: int, kinds: tuple[str, ...]) -> int:
    total = 0
    for process in tree(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith(kinds))
    return total
