"""What the proof of an exported file costs, as a ratio to running the two files it compares.

    python -m benchmarks.parity

A mobilenet_v2 at 224 px and 5,000 images: `Evidence.report` (all images at the largest batch, 256 of them again at
batch 1 and 7) against one bare torch pass and one bare ONNX Runtime pass over the same, by turns.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.images.preprocessing import Preprocessing
from exporters.onnx.export import export_onnx
from exporters.parity import Batch, Evidence, ParityGate
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.student.architectures import Architecture
from exporters.student.student import TrainedStudent
from pipeline.runner.environment import describe_environment

SIZE, BATCH = 224, 256
TARGET = 1.2
CLASSES = 1000
NAMES = ("torch", "onnxruntime", "parity")


def measure(architecture: Architecture, images: int, rounds: int, size: int = SIZE) -> dict[str, Any]:
    """Measure on generated images.

    Returns:
        JSON values: `machine`, `architecture`, `images`, `rounds`, `seconds` (torch, onnxruntime, parity: medians) and
        `ratio` (median over the rounds of parity / (torch + onnxruntime)).
    """
    import onnxruntime
    import torch

    from exporters.student.architectures import build

    torch.manual_seed(0)
    labels = [f"class {index}" for index in range(CLASSES)]
    preprocessing = Preprocessing(size, size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    student = TrainedStudent(build(architecture, CLASSES).eval(), labels, preprocessing, architecture)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)

    def batches() -> Iterator[Batch]:
        """Images that all differ, from a store of one batch."""
        for start in range(0, images, BATCH):
            count = min(BATCH, images - start)
            yield pixels[:count] ^ np.uint8(start // BATCH), None, [str(start + index) for index in range(count)]

    def torch_pass() -> None:
        mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (preprocessing.mean, preprocessing.std))
        with torch.inference_mode():
            for batch, _, _ in batches():
                student.module((torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255 - mean) / std)

    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(student, Path(folder) / "model.onnx").path
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        candidate = OnnxRuntime(path)

    def onnxruntime_pass() -> None:
        for batch, _, _ in batches():
            session.run(["logits"], {"image": batch})

    def parity() -> None:
        Evidence(TorchRuntime(student), batches).report(candidate, ParityGate())

    done = [[_seconds(run) for run in (torch_pass, onnxruntime_pass, parity)] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*done, strict=True)]
    return {
        "machine": describe_environment(),
        "architecture": f"{architecture.source}:{architecture.name}",
        "size": size,
        "images": images,
        "rounds": rounds,
        "seconds": {name: round(value, 3) for name, value in zip(NAMES, medians, strict=True)},
        "ratio": round(statistics.median(proof / (one + other) for one, other, proof in done), 3),
    }


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def to_markdown(measured: dict[str, Any]) -> str:
    """The measurement as a table, with the facts that it holds for."""
    machine, seconds = measured["machine"], measured["seconds"]
    packages = machine["packages"]
    return "\n".join(
        [
            f"Proof of {measured['architecture']} at {measured['size']} px on {measured['images']:,} images, median of"
            f" {measured['rounds']} rounds",
            f"({machine['system']} {machine['machine']}, {machine['processors']} processors, torch {packages['torch']},"
            f" ONNX Runtime {packages.get('onnxruntime') or packages.get('onnxruntime-gpu')}).",
            "",
            "| | seconds |",
            "|---|---|",
            *(f"| {name} | {seconds[name]:,.2f} |" for name in NAMES),
            "",
            f"Ratio to the two passes together: {measured['ratio']:.3f}; at most {TARGET} is wanted.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mobilenet_v2", help="of torchvision")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    chosen = parser.parse_args(arguments)
    measured = measure(Architecture(chosen.model, "torchvision"), chosen.images, chosen.rounds, chosen.size)
    sys.stdout.write(f"{json.dumps(measured, indent=2) if chosen.json else to_markdown(measured)}\n")


if __name__ == "__main__":
    main()
