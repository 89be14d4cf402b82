from pathlib import Path

from exporters.benchmark.memory import available_bytes, peak_resident_bytes, resident_bytes


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_resident_memory_is_read_from_the_status_file(tmp_path: Path) -> None:
    assert resident_bytes(write(tmp_path / "status", "Name:\tx\nVmHWM:\t 900 kB\nVmRSS:\t  512 kB\n")) == 512 * 1024
    assert peak_resident_bytes(tmp_path / "status") == 900 * 1024
    assert resident_bytes(tmp_path / "absent") is None and peak_resident_bytes(tmp_path / "absent") is None
    assert resident_bytes(write(tmp_path / "odd", "VmRSS:\tmuch kB\n")) is None


def test_available_memory_respects_the_container_limit(tmp_path: Path) -> None:
    meminfo, group = write(tmp_path / "meminfo", "MemTotal: 4000 kB\nMemAvailable: 1000 kB\n"), tmp_path / "group"
    assert available_bytes(meminfo, group) == 1_024_000
    for limit, used, left in (("500000", "100000", 400_000), ("9000000", "0", 1_024_000), ("5", "9", 0)):
        write(group / "memory.max", f"{limit}\n")
        write(group / "memory.current", f"{used}\n")
        assert available_bytes(meminfo, group) == left
    write(group / "memory.max", "max\n")
    assert available_bytes(meminfo, group) == 1_024_000
    assert available_bytes(tmp_path / "absent", group) is None
