"""What a report says about the machine."""

import json
import platform
from pathlib import Path

from exporters.benchmark.machine import cores, describe_machine, processor


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_processor_is_named_and_the_machine_is_not(tmp_path: Path) -> None:
    machine = describe_machine(gpu=True)
    assert set(machine) == {"system", "processor", "cores", "gpus", "python", "libraries"}
    assert machine["cores"] == cores() >= 1 and "numpy" in machine["libraries"]
    text = json.dumps(machine)
    assert platform.node() not in text or len(platform.node()) < 3
    info = write(tmp_path / "cpuinfo", "processor\t: 0\nmodel name\t: Quick 9000 @ 3 GHz\nmodel name\t: Quick 9000\n")
    assert processor(info) == "Quick 9000 @ 3 GHz"
    assert processor(tmp_path / "absent") == (platform.processor() or platform.machine())
