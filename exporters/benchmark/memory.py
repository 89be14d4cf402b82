"""Memory of this process and memory that is available; None if the system does not say."""

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def resident_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Resident memory of this process."""
    return _kibibytes(status, "VmRSS")


def peak_resident_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """The most resident memory that this process has had so far."""
    return _kibibytes(status, "VmHWM")


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int | None:
    """Available memory of the machine, or of the container if that is less."""
    free = _kibibytes(meminfo, "MemAvailable")
    try:
        limit, used = ((cgroup / name).read_text().strip() for name in ("memory.max", "memory.current"))
        left = int(limit) - int(used)
    except (OSError, ValueError):  # no container, or "max", which is no limit
        return free
    return left if free is None else min(free, max(0, left))


def _kibibytes(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return 1024 * int(found[0]) if found and found[0].isdigit() else None
