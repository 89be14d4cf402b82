"""What calibration of int8 takes: the peak of resident memory, for two numbers of images.

    python -m benchmarks.calibration

A mobilenet_v2 at 224 px. Each number of images is measured in a process of its own, whose images are made as they are
asked for; what the process holds before calibration is subtracted.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.quantize import Calibration, calibrate
from exporters.quantize.calibration import Method

BATCH = 64


def measure(model: str, size: int, counts: Sequence[int], method: Method) -> list[dict[str, Any]]:
    """JSON values: for each number of images `images`, `seconds` and `mebibytes` that calibration added."""
    from exporters.images.preprocessing import Preprocessing
    from exporters.onnx.export import export_onnx
    from exporters.student.architectures import Architecture, build
    from exporters.student.student import TrainedStudent

    architecture = Architecture(model, "torchvision")
    labels = [f"class {index}" for index in range(1000)]
    preprocessing = Preprocessing(size, size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    student = TrainedStudent(build(architecture, len(labels)).eval(), labels, preprocessing, architecture)
    with tempfile.TemporaryDirectory() as folder:
        data = export_onnx(student, Path(folder) / "model.onnx").path.read_bytes()
    context = multiprocessing.get_context("spawn")  # a fork would inherit what torch holds
    with context.Pool(1, maxtasksperchild=1) as pool:
        return [pool.apply(_calibrated, (data, size, count, method)) for count in counts]


def _calibrated(data: bytes, size: int, count: int, method: Method) -> dict[str, Any]:
    def images() -> Iterator[np.ndarray]:
        random = np.random.default_rng(0)
        for start in range(0, count, BATCH):
            yield random.integers(0, 256, (min(BATCH, count - start), size, size, 3), dtype=np.uint8)

    before, started = _peak(), time.perf_counter()
    calibrate(data, Calibration(images, method))
    return {
        "images": count,
        "seconds": round(time.perf_counter() - started, 1),
        "mebibytes": round((_peak() - before) / 2**20),
    }


def _peak() -> int:
    """Bytes; the most that this process ever held, as Linux tells it (what `getrusage` tells is its parent's too)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def to_markdown(measured: Sequence[dict[str, Any]]) -> str:
    """A row for each number of images."""
    rows = [f"| {each['images']} | {each['mebibytes']} MiB | {each['seconds']} |" for each in measured]
    return "\n".join(["| images | memory added | seconds |", "|---|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mobilenet_v2", help="of torchvision")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--method", choices=("minmax", "entropy", "percentile"), default="minmax")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    chosen = parser.parse_args(arguments)
    measured = measure(chosen.model, chosen.size, chosen.images, chosen.method)
    sys.stdout.write(f"{json.dumps(measured, indent=2) if chosen.json else to_markdown(measured)}\n")


if __name__ == "__main__":
    main()
