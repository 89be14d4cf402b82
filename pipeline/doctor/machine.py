"""Python, processors, memory, shared memory and disk."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.user_cache import cache_folder
from pipeline.doctor.finding import Finding

_GB = 1e9
_LEAST_MEMORY, _GOOD_MEMORY = 1.0, 4.0
_LEAST_DISK, _GOOD_DISK = 1.0, 10.0
_GOOD_SHARED = 1.0
"""Gigabytes (10^9 bytes)."""


def examine_machine(run_directory: Path | None = None) -> Iterator[Finding]:
    """Look at the machine; imports no library of training.

    Args:
        run_directory: where a run would write; None: the working directory.
    """
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _processors()
    yield _memory()
    if (shared := _shared_memory(Path("/dev/shm"))) is not None:  # noqa: S108
        yield shared
    yield from _disks(run_directory or Path())


def _processors() -> Finding:
    has = getattr(os, "sched_getaffinity", None)
    usable = len(has(0)) if has is not None else os.cpu_count() or 1
    whole = os.cpu_count() or usable
    return Finding("processors", "ok", f"{usable} usable" + (f" of {whole}" if usable != whole else ""))


def _memory() -> Finding:
    total, available = _memory_bytes()
    if available is None:
        return Finding("memory", "note", "unknown", "this system does not say how much is free")
    found = f"{available / _GB:.1f} GB free" + ("" if total is None else f" of {total / _GB:.1f} GB")
    if available < _LEAST_MEMORY * _GB:
        return Finding("memory", "fault", found, "PyTorch alone takes about a gigabyte", "Close other programs.")
    if available < _GOOD_MEMORY * _GB:
        remedy = "Lower train.batch_size, and set data.workers to 0, where a run is killed."
        return Finding("memory", "note", found, "little for training", remedy)
    return Finding("memory", "ok", found)


def _memory_bytes() -> tuple[int | None, int | None]:
    """Bytes of memory in all and free, as far as the system and a container's limit say."""
    values: dict[str, int] = {}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            values[name] = 1024 * int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        return None, None
    total, available = values.get("MemTotal"), values.get("MemAvailable")
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if limit is not None and available is not None:
        total = limit if total is None else min(total, limit)
        available = min(available, max(0, limit - (used or 0)))
    return total, available


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or `max`
        return None


def _shared_memory(place: Path) -> Finding | None:
    """Room for what decoding processes hand over; None on systems that have no such place."""
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        return None
    found = f"{free / _GB:.2f} GB free"
    if free >= _GOOD_SHARED * _GB:
        return Finding(str(place), "ok", found)
    remedy = "Start the container with --shm-size=2g or --ipc=host, or set data.workers to 0."
    return Finding(str(place), "note", found, "processes that decode images hand them over there", remedy)


def _disks(run_directory: Path) -> Iterator[Finding]:
    places = {"disk of the run": run_directory, "disk of temporary files": Path(tempfile.gettempdir())}
    if (cache := cache_folder()) is not None:
        places["disk of the cache"] = cache
    seen: set[int] = set()
    for about, place in places.items():
        try:
            existing = next(each for each in (place.absolute(), *place.absolute().parents) if each.exists())
            device, free = existing.stat().st_dev, shutil.disk_usage(existing).free
        except (OSError, StopIteration) as error:
            yield Finding(about, "fault", f"{place} cannot be looked at ({error})", remedy="Choose another place.")
            continue
        if device in seen:
            continue
        seen.add(device)
        found = f"{free / _GB:.1f} GB free at {existing}"
        if not os.access(existing, os.W_OK):
            yield Finding(about, "fault", f"{existing} may not be written", remedy="Choose another place: --run-dir.")
        elif free < _LEAST_DISK * _GB:
            yield Finding(about, "fault", found, "too little for a run", "Make room, or choose another place.")
        elif free < _GOOD_DISK * _GB:
            means = "enough for small runs, and little for a teacher cache or weights"
            yield Finding(about, "note", found, means, "`tmkd-pipeline cache prune` removes old caches.")
        else:
            yield Finding(about, "ok", found)
