"""What memory a training run holds over few images and over as many as ImageNet has.

    python -m benchmarks.training_memory                            10,000 and 1,281,167 images; 4 GB of disk
    python -m benchmarks.training_memory --images 1000,100000       other numbers

The images are random, in the form of CIFAR-10's binary version. A run is the command itself, up to `distill` for a
while, under `kd` with a teacher cache of one epoch, decoding in two processes. Memory is the most that was resident in
each stage: a page that several of the processes share counts once; mapped files that were read count.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import resident_bytes
from benchmarks.training.measuring import circumstances

TARGET = 350
"""Megabytes (10⁶ bytes) by which the larger run may exceed the smaller one, in any stage and as a whole."""

BEFORE = "checks and estimate"
"""What a run does before its first stage."""

WHOLE = "the whole command"

_CLASSES, _TEST, _PIXELS = 10, 1000, 3072
_RECIPE = """\
name: memory
data: {{dataset: cifar10, root: {root}, image_size: 32, validation: 0.02, workers: 2}}
teacher: {{visual: {{model: "cifar:resnet8", weights: {teacher}}}, runtime: torch}}
student: {{model: "cifar:resnet8", weights: none, baseline: null}}
distill: {{method: kd, teacher_cache: {{passes: 1}}}}
train: {{epochs: 1000, batch_size: 64}}
"""


def measure(images: int, seconds: float) -> dict[str, int]:
    """Run over so many training images.

    Args:
        images: training images.
        seconds: that the student is trained and looked at.

    Returns:
        Stage → the most memory in bytes, in their order, the first being `BEFORE`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_records(folder / "images", images)
        _save_teacher(folder / "teacher.pth")
        recipe = folder / "memory.yaml"
        recipe.write_text(_RECIPE.format(root=folder / "images", teacher=folder / "teacher.pth"), encoding="utf-8")
        command = [sys.executable, "-m", "pipeline", "run", str(recipe), "--run-dir", str(folder / "run")]
        return _watched([*command, "--until", "distill"], folder / "log", seconds)


def draw_records(folder: Path, images: int) -> None:
    """Write random images as CIFAR-10's binary version has them: a byte of label and three planes each."""
    folder = folder / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("".join(f"class {number}\n" for number in range(_CLASSES)))
    generator = np.random.default_rng(0)
    parts = {f"data_batch_{number + 1}": len(range(number, images, 5)) for number in range(5)}
    for stem, count in (parts | {"test_batch": _TEST}).items():
        with (folder / f"{stem}.bin").open("wb") as file:
            for start in range(0, count, 10_000):
                records = generator.integers(0, 256, (min(10_000, count - start), 1 + _PIXELS), np.uint8)
                records[:, 0] = np.arange(start, start + len(records)) % _CLASSES
                file.write(records)


def _save_teacher(path: Path) -> None:
    import torch

    from exporters.student.architectures import Architecture, build

    torch.save(build(Architecture("resnet8", "cifar", {}), _CLASSES).state_dict(), path)


def _watched(command: Sequence[str], log: Path, seconds: float) -> dict[str, int]:
    """The most memory that a run and what it starts hold in each stage; it is ended so long after `distill` began."""
    most: dict[str, int] = {}
    until = None
    with log.open("w", encoding="utf-8") as written:
        environment = os.environ | {"CI": "1"}
        with subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment) as process:
            while process.poll() is None:
                stage = stage_of(log.read_text(encoding="utf-8"))
                most[stage] = max(most.get(stage, 0), resident_bytes(process.pid))
                if until is None and stage == "distill":
                    until = time.monotonic() + seconds
                if until is not None and time.monotonic() > until:
                    process.send_signal(signal.SIGTERM)
                    process.wait()
                time.sleep(0.1)
    if process.returncode and until is None:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return most


def stage_of(log: str) -> str:
    """The stage that a run is in, by what it has printed so far."""
    return [BEFORE, *re.findall(r"^── (\w+)", log, re.MULTILINE)][-1]


def compared(runs: dict[str, dict[str, int]]) -> dict[str, Any]:
    """How much more a run over many images holds than one over few: bytes of each stage, and of the whole command."""
    few, many = ({**stages, WHOLE: max(stages.values())} for stages in runs.values())
    differences = {stage: many[stage] - few[stage] for stage in few if stage in many}
    return {"differences": differences, "holds": all(each < TARGET * 1e6 for each in differences.values())}


def to_markdown(measured: dict[str, Any]) -> str:
    """The measurement as a table."""
    runs = {images: {**stages, WHOLE: max(stages.values())} for images, stages in measured["runs"].items()}
    columns = " | ".join(f"{int(images):,} images" for images in runs)
    rows = [f"| the most memory, MB | {columns} | more |", "|---|---|---|---|"]
    for stage, more in measured["differences"].items():
        held = " | ".join(f"{stages[stage] / 1e6:,.0f}" for stages in runs.values())
        rows.append(f"| {stage} | {held} | {more / 1e6:+,.0f} |")
    verdict = "holds" if measured["holds"] else "does not hold"
    return "\n".join([*rows, "", f"{TARGET} MB more are allowed: {verdict}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_memory", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--images", default="10000,1281167", metavar="FEW,MANY")
    parser.add_argument("--seconds", type=float, default=120, help="of training that are looked at")
    parser.add_argument("--json", action="store_true", help="a JSON line instead of Markdown")
    chosen = parser.parse_args(arguments)
    few, many = map(int, chosen.images.split(","))
    runs = {str(images): measure(images, chosen.seconds) for images in (few, many)}
    measured = {"runs": runs, **compared(runs), **circumstances(2)}
    sys.stdout.write(f"{json.dumps(measured) if chosen.json else to_markdown(measured)}\n")


if __name__ == "__main__":
    main()
