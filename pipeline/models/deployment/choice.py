"""Which runtime a frozen network runs in: decided once by a rule, proven on images, and kept.

No clock decides. A rule, images that are always the same, and a file that a resumed or a neighbouring run reads again
give the same runtime each time, and so the same teacher to the bit.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exporters.core.errors import GateError, TmkdError
from exporters.core.files import read_json, sha256_file, write_json
from exporters.openvino.library import find, is_installed
from pipeline.models.deployment import runners
from pipeline.models.deployment.frozen import Frozen
from pipeline.models.deployment.runners import Run
from pipeline.models.deployment.settings import Runtime

MAX_ERROR = {"fp32": 1e-3, "fp16": 1e-2}
"""Largest difference from the network in eager fp32, of the largest absolute value of each output. Orders of summation
alone give up to 1e-4 on untrained deep networks, some 1e-6 on trained ones."""

WORTH_EXPORTING = 2e12
"""Multiplications in one view of one epoch from which on `auto` exports a network. The export takes 5 to 10 s of a
core, which at some 1e11 multiplications a second is won back within the first epochs in three views."""

EXPORTED = ("openvino", "onnxruntime", "tensorrt")
"""Runtimes that run an exported file."""

_FEWEST_ROUNDS, _MOST_ROUNDS, _LONGEST = 2, 7, 1.0
"""Rounds that both are timed in, and the seconds after which no further round begins."""


@dataclass(frozen=True)
class Decision:
    """How a network is run.

    Attributes:
        network: its name.
        runtime: one of `Runtime` but `auto`.
        version: of the runtime's library.
        precision: `fp32`, or `fp16`.
        error: largest difference from eager PyTorch on the images that decided, of each output's scale.
        bound: what that may be.
        speed: times as fast as eager PyTorch on these images, when it was decided; told, and of no effect.
        passed_over: why a runtime that comes first was not taken, one sentence each.
        file: sha256 of the exported file; None where there is none.
    """

    network: str
    runtime: str
    version: str
    precision: str
    error: float
    bound: float
    speed: float
    passed_over: tuple[str, ...] = ()
    file: str | None = None

    @property
    def identity(self) -> str:
        """What the last bits of the outputs follow from, beside the network: for keys of caches."""
        graph = "" if self.file is None else f", {self.file[:8]}"  # other outputs, other fusions of operators
        return f"{self.runtime} {self.version}, {self.precision}{graph}"

    def describe(self) -> str:
        """One line."""
        precision = "" if self.precision == "fp32" else f" in {self.precision}"
        if self.runtime == "eager":
            return f"{self.network}: runs in eager PyTorch{self._because()}"
        return (
            f"{self.network}: runs in {self.runtime}{precision}{self._faster()};"
            f" largest error {self.error:.1e} of its scale ({self.bound:g} allowed){self._because()}"
        )

    def _faster(self) -> str:
        """How much faster than eager PyTorch, where the difference is more than scatter."""
        if not self.speed or 0.95 <= self.speed <= 1.05:
            return ", about as fast as eager PyTorch on the first images"
        if self.speed < 1:
            return f", which took {_figure(1 / self.speed)} times as long as eager PyTorch on the first images"
        return f", {_figure(self.speed)} times as fast as eager PyTorch on the first images"

    def _because(self) -> str:
        return "".join(f"; {reason}" for reason in self.passed_over)

    def to_json(self) -> dict[str, Any]:
        """JSON values, for a file and for a stage's record."""
        return {**asdict(self), "passed_over": list(self.passed_over)}


@dataclass(frozen=True)
class Place:
    """Where a decision is kept, and what it is made for.

    Attributes:
        folder: for decisions and exported files.
        key: of everything that the network and its outputs follow from, and of the runtime that was asked for.
        device: the network's.
        mixed: whether the network runs under autocast, so that PyTorch computes it in half precision already.
        images: gives the images that decide, of the network's size, `[n, 3, S, S]` in `[0, 1]` on the device; always
            the same ones.
        trained_on: images in an epoch.
        exports: whether `auto` may take a runtime that runs an exported file.
    """

    folder: Path
    key: str
    device: torch.device
    mixed: bool
    images: Callable[[], Tensor]
    trained_on: int
    exports: bool = True

    @property
    def record(self) -> Path:
        """The file of the decision."""
        return self.folder / f"{self.key}.json"

    @property
    def exported(self) -> Path:
        """The exported network, where there is one."""
        return self.folder / f"{self.key}.onnx"


def kept_decision(record: Path) -> Decision | None:
    """A decision that was made before; None where there is none."""
    try:
        values = read_json(record)
        return Decision(**{**values, "passed_over": tuple(values["passed_over"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def choose(network: Frozen, runtime: Runtime, place: Place) -> tuple[Run, Decision]:
    """The way that a network is run, decided now or before.

    Args:
        network: on the device, in eval mode.
        runtime: what the recipe says.
        place: where the decision is kept.

    Raises:
        UnavailableError: the runtime that was asked for is not here, or cannot run the network.
        GateError: it does not reproduce the network.
    """
    images: Tensor | None = None
    if (kept := kept_decision(place.record)) is not None and _is_whole(kept, place):
        images = place.images() if kept.runtime in ("torch", "compile") else torch.empty(0)
        return _make(network, kept.runtime, kept.precision, place, images), kept
    images = place.images()
    passed_over: list[str] = []
    expected = _answers(runners.eager(network), images)
    for name, precision in candidates(network, runtime, place):
        try:
            if name in EXPORTED:
                runners.check_device(name, place.device.type)
                runners.write_onnx(network, place.exported)
            run = _make(network, name, precision, place, images)
            error = _largest_error(_answers(run, images), expected)
            bound = MAX_ERROR[precision]
            if not error <= bound:
                raise GateError(
                    f"teacher.runtime: {name} does not reproduce the {network.name}: error {error:.1e} of its scale on"
                    f" the first images, {bound:g} allowed",
                    remedy="Use --set teacher.runtime=auto, which takes what reproduces it.",
                )
        except TmkdError as reason:
            if runtime != "auto":
                raise
            passed_over.append(reason.message.removeprefix("teacher.runtime: "))
            continue
        decision = Decision(
            network=network.name,
            runtime=name,
            version=_version(name),
            precision=precision,
            error=error,
            bound=bound,
            speed=round(_speed(runners.eager(network), run, images), 2) if name != "eager" else 1.0,
            passed_over=tuple(passed_over),
            file=sha256_file(place.exported) if name in EXPORTED else None,
        )
        write_json(place.record, decision.to_json())
        return run, decision
    raise AssertionError("eager PyTorch reproduces itself")


def candidates(network: Frozen, runtime: Runtime, place: Place) -> list[tuple[str, str]]:
    """Runtimes with their precision, the first of which that reproduces the network is taken.

    `auto` on a CPU, where one epoch in one view takes `WORTH_EXPORTING`: OpenVINO, if it is installed, then ONNX
    Runtime; then PyTorch with batch norms folded; then PyTorch as it is. OpenVINO takes .85 to .95 of the time of ONNX
    Runtime for ResNet-56 at 32 px, MobileNetV2, ConvNeXt-T, ViT-S/16 and Swin-T, .98 for CLIP's ViT-B/32, and up to
    1.03 for ResNet-50 (`docs/recipe/teachers.md`). On other devices, and where PyTorch computes in half precision,
    PyTorch. CLIP's image tower is in fp16 on CUDA.
    """
    halves = ["fp16", "fp32"] if network.takes_half and place.device.type == "cuda" else ["fp32"]
    torch_ = [("torch", precision) for precision in halves]
    if runtime == "torch":
        return torch_[:1]
    if runtime != "auto":
        return [(runtime, "fp32")]
    worth = place.device.type == "cpu" and not place.mixed and place.exports
    worth = worth and place.trained_on * multiplications(network, place.images()) >= WORTH_EXPORTING
    exported = [*(["openvino"] if is_installed() else []), "onnxruntime"] if worth else []
    return [*((name, "fp32") for name in exported), *torch_, ("eager", "fp32")]


def multiplications(network: nn.Module, images: Tensor) -> float:
    """Multiplications of convolutions and matrix products for one of the images `[n, 3, H, W]`, on their device."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images[:1])
    return counter.get_total_flops() / 2


def _make(network: Frozen, runtime: str, precision: str, place: Place, images: Tensor) -> Run:
    if runtime == "eager":
        return runners.eager(network)
    if runtime == "torch":
        return runners.folded(network, images, half=precision == "fp16")
    if runtime == "compile":
        return runners.compiled(network, images)
    return runners.exported(place.exported, place.device, runtime)


def _is_whole(kept: Decision, place: Place) -> bool:
    """Whether the file of the decision is there as it was."""
    if kept.file is None:
        return True
    return place.exported.is_file() and sha256_file(place.exported) == kept.file


def _answers(run: Run, images: Tensor) -> list[Tensor]:
    """The outputs in fp32: without autocast, and without TF32 on a GPU, which would hide what is to be seen."""
    tf32 = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
    with tf32, torch.autocast(images.device.type, enabled=False):
        return [value.detach().double().cpu() for value in run(images)]


def _largest_error(found: list[Tensor], expected: list[Tensor]) -> float:
    """Of all outputs, each relative to its largest absolute value; infinite where shapes differ or a value is none."""
    worst = 0.0
    for ours, theirs in zip(found, expected, strict=True):
        if ours.shape != theirs.shape or not bool(ours.isfinite().all()):
            return float("inf")
        scale = float(theirs.abs().max()) or 1.0
        worst = max(worst, float((ours - theirs).abs().max()) / scale)
    return worst


def _speed(eager: Run, run: Run, images: Tensor) -> float:
    """How many times as fast: the median of rounds in which each runs once, so that other work hardly counts.

    Both have run before, so that nothing is made for the first time.
    """
    ratios: list[float] = []
    started = time.perf_counter()
    while len(ratios) < _FEWEST_ROUNDS or (len(ratios) < _MOST_ROUNDS and time.perf_counter() - started < _LONGEST):
        ratios.append(_seconds(eager, images) / max(_seconds(run, images), 1e-9))
    return statistics.median(ratios)


def _figure(ratio: float) -> str:
    """A ratio of times with as many digits as it is known to: `1.3`, `22`."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}"


def _seconds(run: Run, images: Tensor) -> float:
    started = time.perf_counter()
    run(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - started


def _version(runtime: str) -> str:
    if runtime == "openvino":
        return find().version
    if runtime in EXPORTED:
        import onnxruntime

        return str(onnxruntime.__version__)
    return str(torch.__version__)
