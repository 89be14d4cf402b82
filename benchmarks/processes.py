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


def own_bytes(pid: int) -> int:
    """Memory that is of no file; pages that several of the processes share count once.

    Libraries would count more or less as others on the machine use them too.
    """
    return sum(_bytes(process, "smaps_rollup", _OWN) for process in tree(pid))


def resident_bytes(pid: int) -> int:
    """Memory with the pages of mapped files that were read; pages that several of the processes share count once.

    Of files, those of the process that holds most of them: what it starts maps the same libraries and data. Who else
    uses these on the machine makes no difference, as it would to their proportional share.
    """
    return own_bytes(pid) + max((_bytes(process, "status", ("RssFile:",)) for process in tree(pid)), default=0)


def _bytes(process: int, file: str, kinds: tuple[str, ...]) -> int:
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(kinds))
