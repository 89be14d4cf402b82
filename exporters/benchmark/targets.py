"""What of a bundle is measured: each of its models on each provider, and the torch student beside them."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.benchmark.child import Child
from exporters.errors import UnavailableError, UsageError
from exporters.manifest import MODEL
from exporters.student import DESCRIPTION_NAME, WEIGHTS_NAME

FP32 = "fp32"
PROVIDERS = ("cpu", "cuda", "tensorrt")
_CHOSEN = Path("distill") / "chosen"


@dataclass(frozen=True)
class Target:
    """One thing that is measured.

    Args:
        kind: `onnx` or `torch`.
        device: the provider of ONNX Runtime, or torch's device.
        variant: `fp32` for the student and `model.onnx`; what stands between `model` and `onnx` in other names.
        precision: as the manifest says.
        size: of the file, in bytes.
        accuracy, agreement: top-1 of `parity.json`; None where it does not tell.
        model: the name of the file in the bundle; None for torch.
        student: the student's folder; None for ONNX.
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

    @property
    def runtime(self) -> str:
        """`onnxruntime-cpu`, `torch-cuda` and the like."""
        return f"{'onnxruntime' if self.kind == 'onnx' else 'torch'}-{self.device}"

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
            variant = FP32 if name == MODEL else name.removeprefix("model.").removesuffix(".onnx")
            precision, size = str(manifest["models"][name].get("precision", variant)), manifest["files"][name]["size"]
            accuracy, agreement = (_share(parity, variant, key) for key in ("candidate_accuracy", "top1_agreement"))
            targets.append(Target("onnx", provider, variant, precision, size, accuracy, agreement, model=name))
    return targets


def torch_targets(
    bundle: Path, given: Path | None, parity: Mapping[str, Any], providers: Sequence[str]
) -> tuple[list[Target], list[str]]:
    """The torch student on the device of each provider, and why there is none where there is none.

    Args:
        bundle: the bundle's folder; where no student is given, the one of the run directory around it is looked for.
        given: the folder of a student, or of a run; None to look for one.
        parity: the bundle's.
        providers: on `cpu` it is compared with torch on the CPU, on the others with torch on CUDA.

    Raises:
        UsageError: a given folder holds no student.
        UnavailableError: a student is given and torch is not installed.
    """
    folder = find_student(bundle, given)
    if folder is None:
        return [], ["torch eager was left out: the bundle lies in no run directory, and no --student was given"]
    if importlib.util.find_spec("torch") is None:
        if given is not None:
            raise UnavailableError("torch is not installed, and --student is run by it", remedy="Leave --student out.")
        return [], ["torch eager was left out: torch is not installed"]
    size = (folder / WEIGHTS_NAME).stat().st_size if (folder / WEIGHTS_NAME).is_file() else 0
    accuracy = _share(parity, FP32, "reference_accuracy")
    devices = dict.fromkeys("cpu" if provider == "cpu" else "cuda" for provider in providers)
    return [Target("torch", device, FP32, FP32, size, accuracy, student=folder) for device in devices], []


def find_student(bundle: Path, given: Path | None) -> Path | None:
    """The folder of a student: the given one, or that of a given run, or of the run around the bundle."""
    if given is None:
        found = bundle.resolve().parent / _CHOSEN
        return found if (found / DESCRIPTION_NAME).is_file() else None
    for folder in (given, given / _CHOSEN):
        if (folder / DESCRIPTION_NAME).is_file():
            return folder
    raise UsageError(
        f"{given}: no student here", remedy="A student is the folder that holds student.json, or the run that made it."
    )


def load(child: Child, target: Target, models: Mapping[str, bytes], images: Any, threads: int) -> None:
    """Load a target into a process; raises what its runtime raises."""
    if target.student is not None:
        child.load_torch(target.student, images, target.device, threads)
    else:
        assert target.model is not None
        child.load_onnx(models[target.model], images, target.device, threads)


def _share(parity: Mapping[str, Any], variant: str, key: str) -> float | None:
    """A figure over the whole set, of the report of a variant."""
    report = parity.get(variant)
    whole = report.get("whole") if isinstance(report, dict) else None
    value = whole.get(key) if isinstance(whole, dict) else None
    return float(value) if isinstance(value, int | float) else None
