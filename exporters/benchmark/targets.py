"""What a benchmark measures: each model of a bundle on each provider, its engines, and the torch student."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.benchmark.child import Child
from exporters.bundle.manifest import MODEL, variant_of
from exporters.bundle.openvino import weights_of
from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.openvino.library import is_installed
from exporters.student.student import CHOSEN, WEIGHTS_NAME, find_student

FP32 = "fp32"
PROVIDERS = ("cpu", "cuda", "tensorrt")


@dataclass(frozen=True)
class Target:
    """One thing that is measured.

    Args:
        kind: `onnx`, `engine`, `openvino` or `torch`.
        device: the provider of ONNX Runtime, torch's device, or `cuda` for an engine.
        variant: `fp32` for the student and `model.onnx`; what stands in the middle of other names.
        precision: as the manifest says.
        size: of the file, in bytes.
        accuracy, agreement: top-1 of `parity.json`; None where it does not tell.
        model: the name of the file in the bundle; None for torch.
        student: the student's folder; None for files of the bundle.
        library: the TensorRT that an engine is of.
    """

    kind: str
    device: str
    variant: str
    precision: str
    size: int
    accuracy: float | None = None
    agreement: float | None = None
    model: str | None = None
    student: Path | None = None
    library: str = ""

    @property
    def runtime(self) -> str:
        """`onnxruntime-cpu`, `torch-cuda`, `tensorrt_rtx-cuda` and the like."""
        names = {"onnx": "onnxruntime", "engine": self.library}
        return f"{names.get(self.kind, self.kind)}-{self.device}"

    @property
    def name(self) -> str:
        """The runtime with the variant that it runs."""
        return f"{self.runtime} {self.variant}"

    @property
    def torch_device(self) -> str:
        """Where torch runs to be compared with this."""
        return "cpu" if self.device == "cpu" else "cuda"


def onnx_targets(manifest: Mapping[str, Any], parity: Mapping[str, Any], providers: Sequence[str]) -> list[Target]:
    """Every model of a bundle on every provider, `model.onnx` first."""
    names = sorted(manifest["models"], key=lambda name: (name != MODEL, name))
    targets = []
    for provider in providers:
        for name in names:
            variant = variant_of(name)
            precision, size = str(manifest["models"][name].get("precision", variant)), manifest["files"][name]["size"]
            accuracy, agreement = (_share(parity, variant, key) for key in ("candidate_accuracy", "top1_agreement"))
            targets.append(Target("onnx", provider, variant, precision, size, accuracy, agreement, model=name))
    return targets


def engine_targets(manifest: Mapping[str, Any], parity: Mapping[str, Any]) -> tuple[list[Target], list[str]]:
    """Every engine of a bundle, or why none can run here."""
    engines = manifest.get("engines", {})
    if not engines:
        return [], []
    reports = parity.get("engines")
    targets, reasons = [], []
    for name, entry in sorted(engines.items(), key=lambda item: (variant_of(item[0]) != FP32, item[0])):
        variant, precision, library = variant_of(name), str(entry["precision"]), str(entry["library"]["name"])
        reason = _cannot_run(library)
        if reason is not None:
            reasons.append(reason)
            continue
        figures = reports if isinstance(reports, dict) else {}
        accuracy, agreement = (_share(figures, precision, key) for key in ("candidate_accuracy", "top1_agreement"))
        size = manifest["files"][name]["size"]
        targets.append(
            Target("engine", "cuda", variant, precision, size, accuracy, agreement, model=name, library=library)
        )
    return targets, [f"engines were left out: {reason}" for reason in dict.fromkeys(reasons)]


def openvino_targets(
    manifest: Mapping[str, Any], parity: Mapping[str, Any], providers: Sequence[str]
) -> tuple[list[Target], list[str]]:
    """Every OpenVINO network of a bundle, which run on the CPU alone, or why none can run here."""
    networks = manifest.get("openvino", {})
    if not networks or "cpu" not in providers:
        return [], []
    if not is_installed():
        return [], ["OpenVINO files were left out: OpenVINO is not installed"]
    reports = parity.get("openvino")
    figures = reports if isinstance(reports, dict) else {}
    targets = []
    for name, entry in sorted(networks.items(), key=lambda item: (variant_of(item[0]) != FP32, item[0])):
        precision = str(entry["precision"])
        accuracy, agreement = (_share(figures, precision, key) for key in ("candidate_accuracy", "top1_agreement"))
        size = sum(manifest["files"][file]["size"] for file in (name, weights_of(name)))
        targets.append(Target("openvino", "cpu", precision, precision, size, accuracy, agreement, model=name))
    return targets, []


def _cannot_run(library: str) -> str | None:
    """Why engines of a library do not run here; None where they may."""
    from exporters.tensorrt import find
    from exporters.tensorrt.gpu import current_gpu

    try:
        found = find(library)  # type: ignore[arg-type]
    except TmkdError as error:
        return error.message
    return None if current_gpu() else f"{found.title} runs them on NVIDIA GPUs alone, and torch finds none here"


def torch_targets(
    bundle: Path, given: Path | None, parity: Mapping[str, Any], providers: Sequence[str], *, on_gpu: bool = False
) -> tuple[list[Target], list[str]]:
    """The torch student on the device of each provider, and why there is none where there is none.

    Args:
        bundle: the bundle's folder; where no student is given, the one of the run directory around it is looked for.
        given: the folder of a student, or of a run; None to look for one.
        parity: the bundle's.
        providers: on `cpu` it is compared with torch on the CPU, on the others with torch on CUDA.
        on_gpu: something else is compared with torch on CUDA too.

    Raises:
        UsageError: a given folder holds no student.
        UnavailableError: a student is given and torch is not installed.
    """
    folder = student_folder(bundle, given)
    if folder is None:
        return [], ["torch eager was left out: the bundle lies in no run directory, and no --student was given"]
    if importlib.util.find_spec("torch") is None:
        if given is not None:
            raise UnavailableError("torch is not installed, and --student is run by it", remedy="Leave --student out.")
        return [], ["torch eager was left out: torch is not installed"]
    size = (folder / WEIGHTS_NAME).stat().st_size if (folder / WEIGHTS_NAME).is_file() else 0
    accuracy = _share(parity, FP32, "reference_accuracy")
    used = ["cpu" if provider == "cpu" else "cuda" for provider in providers]
    devices = dict.fromkeys([*used, "cuda"] if on_gpu else used)
    return [Target("torch", device, FP32, FP32, size, accuracy, student=folder) for device in devices], []


def student_folder(bundle: Path, given: Path | None) -> Path | None:
    """The folder of a student: the given one, or that of a given run, or of the run around the bundle."""
    if given is None:
        return find_student(bundle.resolve().parent / CHOSEN)
    folder = find_student(given)
    if folder is None:
        raise UsageError(
            f"{given}: no student here",
            remedy="A student is the folder that holds student.json, or the run that made it.",
        )
    return folder


def load(child: Child, target: Target, files: Mapping[str, bytes], images: Any, threads: int) -> None:
    """Load a target into a process; raises what its runtime raises."""
    if target.student is not None:
        child.load_torch(target.student, images, target.device, threads)
        return
    assert target.model is not None
    if target.kind == "openvino":
        child.load_openvino(files[target.model], files[weights_of(target.model)], images, threads)
    elif target.kind == "engine":
        child.load_engine(files[target.model], images, target.library)
    else:
        child.load_onnx(files[target.model], images, target.device, threads)


def _share(parity: Mapping[str, Any], variant: str, key: str) -> float | None:
    """A figure over the whole set, of the report under this name."""
    report = parity.get(variant)
    whole = report.get("whole") if isinstance(report, dict) else None
    value = whole.get(key) if isinstance(whole, dict) else None
    return float(value) if isinstance(value, int | float) else None
