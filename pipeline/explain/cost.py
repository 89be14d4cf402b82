"""What the networks of a run cost: their size, their multiplications, and how long they take for an image."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 0.5
"""Of timing, for each network."""

MULTIPLICATIONS = 5e10
"""Of a network that is timed, at most: timing takes 16 images at least."""


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        title: for people.
        runtime: what ran it.
        parameters: trainable values.
        size: bytes of its weights, or of its exported file.
        macs: multiply-accumulate operations of convolutions and matrix products for one image; FLOPs are twice as many.
        p50_ms, p95_ms: milliseconds for one image, at batch 1 on the CPU; None for one that is too large to be timed.
    """

    title: str
    runtime: str
    parameters: int
    size: int
    macs: float
    p50_ms: float | None
    p95_ms: float | None

    def to_json(self) -> dict[str, Any]:
        """JSON values by the names of the attributes."""
        return asdict(self)


@dataclass(frozen=True)
class Costs:
    """Costs of several networks, timed in the same interleaved rounds.

    Attributes:
        networks: each of them.
        threads: of the processor that PyTorch uses.
        processor: its name.
    """

    networks: Sequence[Cost]
    threads: int
    processor: str


def measure_costs(folders: Mapping[str, Path], exported: Mapping[str, Path]) -> Costs:
    """Measure networks in PyTorch, and exported files of them in ONNX Runtime, on the CPU.

    Args:
        folders: title → where `exporters.student.student.save_student` has put a network.
        exported: title of one of these → its ONNX file.

    Raises:
        UnavailableError: a file is missing or damaged, or the CPU provider is not here.
        GateError: ONNX Runtime does not take a file.
    """
    import torch

    from exporters.benchmark.machine import describe_machine
    from exporters.benchmark.rounds import InProcess, Timed, summarise, time_rounds
    from exporters.runtimes import OnnxRuntime, TorchRuntime
    from exporters.student.student import WEIGHTS_NAME, load_student
    from pipeline.models.deployment.choice import multiplications

    found: dict[tuple[str, str], tuple[int, int, float]] = {}
    timed: dict[str, Timed] = {}
    for title, folder in folders.items():
        network = load_student(folder)
        side = network.preprocessing.size
        macs = multiplications(network.module, torch.zeros(1, 3, side, side))
        image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        files = {"PyTorch": folder / WEIGHTS_NAME}
        if title in exported:
            files["ONNX Runtime"] = exported[title]
        for runtime, file in files.items():
            found[title, runtime] = (network.parameters, file.stat().st_size, macs)
            if macs <= MULTIPLICATIONS:
                run = TorchRuntime(network) if runtime == "PyTorch" else OnnxRuntime(file.read_bytes())
                timed[f"{title} {runtime}"] = InProcess(run, image)
    rounds = time_rounds(timed, 1, seconds=SECONDS) if timed else {}
    speeds = {name: summarise(each, 1) for name, each in rounds.items()}
    networks = []
    for (title, runtime), (parameters, size, macs) in found.items():
        speed: Mapping[str, Any] = speeds.get(f"{title} {runtime}", {})
        networks.append(Cost(title, runtime, parameters, size, macs, speed.get("p50_ms"), speed.get("p95_ms")))
    return Costs(networks, torch.get_num_threads(), str(describe_machine()["processor"]))
