"""`export`: any trained classifier to proved ONNX files; the command of that name calls the same function."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.api.shown import Shown
from pipeline.api.wording import for_python, names_of

if TYPE_CHECKING:
    from torch import nn

    from exporters.command import CalibrationRequest, ExportRequest
    from exporters.runtimes import Provider
    from exporters.student.checkpoint import CheckpointOptions
    from pipeline.console import Console

Channels = tuple[float, float, float]

_COLUMNS = ("file", "status", "images", "agreement, %", "largest error")


@dataclass(frozen=True)
class Extras:
    """What the graph has beside the logits, and what is said of it; see `export_checkpoint`."""

    opset: int = 20
    licence: str | None = None
    probabilities: bool = False
    temperature: float | None = None
    any_size: bool = False
    cam: bool = False


@dataclass(frozen=True, repr=False)
class Exported:
    """What an export made.

    Attributes:
        out: the folder.
        files: the model files in it that passed.
        reports: the proof of each file, as `parity.json` has it.
        bundle: the folder for `verify` and `Student.load`; None unless one was asked for.
    """

    out: Path
    files: list[str]
    reports: dict[str, Any]
    bundle: Path | None

    def __repr__(self) -> str:
        """A row for each file."""
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()

    def _shown(self) -> Shown:
        lines = [] if self.bundle is None else [f"bundle: {self.bundle}"]
        rows = [_row(report) for report in _every(self.reports)]
        return Shown(f"exported to {self.out}", _COLUMNS, rows, words=2, lines=lines)


def export(
    checkpoint: "str | Path | nn.Module",
    out: str | Path,
    *,
    model: str | None = None,
    model_arguments: Mapping[str, Any] | None = None,
    weights_key: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    interpolation: Literal["bilinear", "bicubic"] | None = None,
    mean: Channels | None = None,
    std: Channels | None = None,
    name: str | None = None,
    data: str | Path | None = None,
    precision: Sequence[str] = ("fp32",),
    require: Sequence[str] = (),
    keep: Literal["useful", "all"] = "useful",
    calibration: str | Path | None = None,
    calibration_images: int = 512,
    calibration_method: Literal["minmax", "entropy", "percentile"] = "minmax",
    opset: int = 20,
    probabilities: bool = False,
    temperature: float | None = None,
    any_size: bool = False,
    cam: bool = False,
    licence: str | None = None,
    provider: "Provider" = "cpu",
    bundle: bool = False,
    quiet: bool = False,
) -> Exported:
    """Export a classifier to ONNX and prove each file equal to the network.

    Engines of TensorRT and OpenVINO IR are made by the command, `export --to tensorrt,openvino`.

    Args:
        checkpoint: a run directory, a student's folder, a weights file of any classifier of torchvision, timm or the
            CIFAR family, or such a network itself; the last two need `model`.
        out: the folder, made where it is missing; unless fp32 and what is required pass, `rejected` alone is written
            into it, with the reports and what was made.
        model: the network, such as `resnet18` or `timm:convnext_atto`.
        model_arguments: of its builder.
        weights_key: which weights to take from a file with several sets.
        labels: class names in the order of the logits, or a file of them; default: `class_0`, `class_1`, …
        image_size, resize, interpolation, mean, std: how an image is prepared; default: as published with the network.
        name: of the student; default: the name of the file, `student` for a network.
        data: images, or class folders of images, to prove the files on; without any, generated ones, which prove less.
        precision: files to make, of `fp32`, `fp16` and `int8`; `model.onnx` in fp32 is always made.
        require: precisions that must pass for anything but `rejected` to be written.
        keep: `useful` leaves out files that are not faster than fp32 here; `all` keeps them.
        calibration: training images, for the ranges of int8; `calibration_images` of them at most, 8 or more, by
            `calibration_method`.
        opset: of ONNX, 18 to 25.
        probabilities: add the softmax of the logits at `temperature` as an output.
        temperature: default: as the run calibrated it, else 1.
        any_size: accept images of any size, and resize them inside the graph.
        cam: add the class activation map of the most likely class as an output.
        licence: of the weights, as SPDX writes it.
        provider: where ONNX Runtime runs: `cpu`, `cuda` or `tensorrt`.
        bundle: pack what passes into `out/bundle`.
        quiet: print nothing but warnings, on standard error.

    Raises:
        UsageError: an argument is missing, contradicts another, or is out of bounds.
        GateError: fp32 or a required file is not the network; its `report` is the proofs, and `out/rejected` has them.
        UnavailableError: no such file, it does not fit the network, or a package or provider is missing.
    """
    from exporters.command import ExportRequest
    from exporters.labels import read_labels
    from exporters.student.checkpoint import CheckpointOptions
    from pipeline.api.export_paths import check_paths
    from pipeline.console import Console

    folders = {"data": data, "calibration": calibration}
    paths = {key: None if value is None else Path(value).expanduser() for key, value in folders.items()}
    target = Path(out).expanduser()
    with for_python(export, model_arg="model_arguments"), _file_of(checkpoint, model) as weights:
        check_paths(weights, target, paths, "checkpoint")
        request = ExportRequest(
            tuple(dict.fromkeys(names_of(precision))) or ("fp32",),
            required=names_of(require),
            keep=keep,
            calibration=_calibration(paths["calibration"], calibration_images, calibration_method),
            bundle=bundle,
        )
        options = CheckpointOptions(
            model=model,
            arguments=model_arguments,
            labels=read_labels(Path(labels)) if isinstance(labels, str | Path) else labels,
            image_size=image_size,
            resize=resize,
            mean=mean,
            std=std,
            interpolation=interpolation,
            weights_key=weights_key,
            name=name,
        )
        extras = Extras(opset, licence, probabilities, temperature, any_size, cam)
        return execute_export(weights, target, options, request, extras, paths["data"], provider, Console(quiet=quiet))


def execute_export(
    checkpoint: Path,
    out: Path,
    options: "CheckpointOptions",
    request: "ExportRequest",
    extras: Extras,
    data: Path | None,
    provider: "Provider",
    console: "Console",
) -> Exported:
    """Do what `export` and the command do.

    Args:
        checkpoint: a file or folder.
        out: where the files go.
        options: what the user says of the checkpoint.
        request: what is made besides `model.onnx`.
        extras: of the graph.
        data: images for the proof.
        provider: where ONNX Runtime runs.
        console: for what a person should see.

    Raises:
        TmkdError: as `export`.
    """
    from exporters.command import export_checkpoint
    from exporters.core.progress import shown_by
    from exporters.student.checkpoint import load_checkpoint

    with shown_by(console.track), console.track("export", None):
        with console.track("loading the network", None):
            loaded = load_checkpoint(checkpoint, options)
        reports = export_checkpoint(
            loaded,
            out,
            opset=extras.opset,
            licence=extras.licence,
            probabilities=extras.probabilities,
            temperature=extras.temperature,
            any_size=extras.any_size,
            cam=extras.cam,
            data=data,
            request=request,
            provider=provider,
            say=console.say,
        )
    files = [report["file"] for report in _every(reports) if report.get("status", "shipped") == "shipped"]
    return Exported(out, files, reports, out / "bundle" if request.bundle else None)


def _every(reports: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The proofs of the files, those of engines last."""
    parts = ("engines", "openvino")
    files = [report for name, report in reports.items() if name not in parts]
    return files + [report for name in parts for report in reports.get(name, {}).values()]


def _row(report: Mapping[str, Any]) -> list[str]:
    whole = report.get("whole")
    figures = ["", "", ""]
    if whole is not None:
        figures = [
            f"{whole['images']:,}",
            f"{100 * whole['top1_agreement']:.3f}",
            f"{whole['max_scaled_error']:.1e}",
        ]
    return [report["file"], report.get("status", "shipped"), *figures]


def _calibration(folder: Path | None, images: int, method: Any) -> "CalibrationRequest | None":
    from exporters.command import CalibrationRequest

    return None if folder is None else CalibrationRequest(folder, images, method)


@contextmanager
def _file_of(checkpoint: Any, model: str | None) -> Iterator[Path]:
    """The file of a checkpoint; the weights of a network are written into one for the time of the block."""
    from exporters.core.errors import UsageError

    if isinstance(checkpoint, str | Path):
        yield Path(checkpoint).expanduser()
        return
    if not callable(getattr(checkpoint, "state_dict", None)):
        raise UsageError(
            f"checkpoint: expected a path or a network of PyTorch, got {type(checkpoint).__name__}",
            remedy="Give a run directory, a weights file, or a torch.nn.Module with model='resnet18' or the like.",
        )
    if model is None:
        raise UsageError("model: weights alone do not say of which network", remedy="Add e.g. model='resnet18'.")
    import torch

    state = checkpoint.state_dict()
    other = next((key for key, value in state.items() if not isinstance(value, torch.Tensor)), None)
    if other is not None:
        raise UsageError(
            f"checkpoint: {other} in its state_dict is no tensor, but {type(state[other]).__name__}",
            remedy="Save what is weights into a file (safetensors), and give that.",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student.pt"
        torch.save({key: value.detach().cpu() for key, value in state.items()}, path)
        yield path
