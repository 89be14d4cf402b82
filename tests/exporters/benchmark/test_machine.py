"""What is told of the machine, and its memory."""

import json
import platform
from pathlib import Path

from exporters.benchmark.machine import cores, describe_machine, processor
from exporters.benchmark.memory import available_bytes, resident_bytes


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_processor_is_named_and_the_machine_is_not(tmp_path: Path) -> None:
    told = describe_machine(gpu=True)
    assert set(told) == {"system", "processor", "cores", "gpus", "python", "libraries"}
    assert told["cores"] == cores() >= 1 and "numpy" in told["libraries"]
    text = json.dumps(told)
    assert platform.node() not in text or len(platform.node()) < 3
    info = write(tmp_path / "cpuinfo", "processor\t: 0\nmodel name\t: Quick 9000 @ 3 GHz\nmodel name\t: Quick 9000\n")
    assert processor(info) == "Quick 9000 @ 3 GHz"
    assert processor(tmp_path / "absent") == (platform.processor() or platform.machine())


def test_resident_memory(tmp_path: Path) -> None:
    assert resident_bytes(write(tmp_path / "status", "Name:\tx\nVmHWM:\t 900 kB\nVmRSS:\t  512 kB\n")) == 512 * 1024
    assert resident_bytes(tmp_path / "absent") is None
    assert resident_bytes(write(tmp_path / "odd", "VmRSS:\tmuch kB\n")) is None


def test_memory_that_is_left_is_that_of_the_container_where_it_is_less(tmp_path: Path) -> None:
    meminfo, group = write(tmp_path / "meminfo", "MemTotal: 4000 kB\nMemAvailable: 1000 kB\n"), tmp_path / "group"
    assert available_bytes(meminfo, group) == 1_024_000
    for limit, used, left in (("500000", "100000", 400_000), ("9000000", "0", 1_024_000), ("5", "9", 0)):
        write(group / "memory.max", f"{limit}\n")
        write(group / "memory.current", f"{used}\n")
        assert available_bytes(meminfo, group) == left
    write(group / "memory.max", "max\n")
    assert available_bytes(meminfo, group) == 1_024_000
    assert available_bytes(tmp_path / "absent", group) is None
