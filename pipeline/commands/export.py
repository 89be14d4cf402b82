"""The command `export`: one checkpoint to ONNX, proved, without the rest of the pipeline."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import PATH, PRECISION_NAMES, PROVIDER, QUIET, as_json, make_console
from pipeline.commands.types import BatchRange, Channels, Names, flattened

if TYPE_CHECKING:
    from exporters.command import CalibrationRequest, EngineRequest


BATCH = BatchRange()
CHANNELS = Channels()
PRECISIONS = Names(*PRECISION_NAMES)
TARGETS = Names("onnx", "tensorrt", "openvino")
SIZE = click.IntRange(min=1)


@click.command()
@click.argument("checkpoint", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Where the files go.")
@click.option("--model", metavar="NAME", help="The network of a weights file, e.g. resnet18 or timm:convnext_atto.")
@click.option(
    "--model-arg", "arguments", multiple=True, metavar="KEY=VALUE", help="Argument of the network; repeatable."
)
@click.option(
    "--weights-key", metavar="KEY", help="Which weights to take from a file with several sets, e.g. state_dict_ema."
)
@click.option("--labels", type=PATH, metavar="FILE", help="Text, JSON, YAML or CSV; default: class_0, class_1, …")
@click.option("--image-size", type=SIZE, metavar="N", help="Side of the square input of the network.")
@click.option("--resize", type=SIZE, metavar="N", help="The shorter side before the crop.")
@click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]), help="The filter for resizing.")
@click.option("--mean", type=CHANNELS, help="For images in [0, 1]; default: as published with the network.")
@click.option("--std", type=CHANNELS, help="As for --mean.")
@click.option("--name", metavar="NAME", help="Name of the student; default: the name of the file.")
@click.option("--opset", type=int, default=20, show_default=True, help="ONNX opset, 18 to 25.")
@click.option("--probabilities", is_flag=True, help="Add a second output: the softmax of the logits, at --temperature.")
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="Divide logits by T before the softmax, in --probabilities and in the bundle; default: as the run calibrated"
    " it, else 1.",
)
@click.option("--any-size", is_flag=True, help="Accept images of any size, and resize them inside the graph.")
@click.option("--cam", is_flag=True, help="Add an output: the class activation map of the most likely class.")
@click.option("--licence", metavar="SPDX", help="Licence of the weights.")
@click.option("--data", type=PATH, metavar="DIR", help="Images, or class folders of images, to prove the files on.")
@click.option("--to", "targets", type=TARGETS, multiple=True, help="model.onnx is always made; default: onnx.")
@click.option("--precision", "precisions", type=PRECISIONS, multiple=True, help="fp32 is always made; default: fp32.")
@click.option("--require", "required", type=PRECISIONS, multiple=True, help="Nothing is written unless these pass.")
@click.option(
    "--keep",
    type=click.Choice(["useful", "all"]),
    default="useful",
    show_default=True,
    help="useful: leave out variants that are not faster than fp32 here.",
)
@click.option("--calibration", type=PATH, metavar="DIR", help="Training images, to calibrate int8.")
@click.option("--calibration-images", type=SIZE, metavar="N", help="Number of calibration images; default: 512.")
@click.option(
    "--calibration-method",
    type=click.Choice(["minmax", "entropy", "percentile"]),
    help="minmax (default): the full range of activations; the others clip rare values.",
)
@click.option(
    "--tensorrt",
    "when",
    type=click.Choice(["required", "available"]),
    help="required (default): engines must be built and proved here; available: engines that cannot be are reported.",
)
@click.option("--batch", type=BATCH, help="Smallest, usual and largest batch of engines; default: 1,16,64.")
@click.option(
    "--compute-capability",
    "capabilities",
    multiple=True,
    metavar="X.Y",
    help="GPUs that engines of TensorRT for RTX are built for; repeatable. Default: the GPU here.",
)
@PROVIDER
@click.option("--bundle", is_flag=True, help="Pack the files that pass into DIR/bundle, for verify, predict and serve.")
@QUIET
@as_json("the report on each file")
def export(
    checkpoint: Path,
    out: Path,
    model: str | None,
    arguments: tuple[str, ...],
    weights_key: str | None,
    labels: Path | None,
    image_size: int | None,
    resize: int | None,
    interpolation: Any,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    name: str | None,
    opset: int,
    probabilities: bool,
    temperature: float | None,
    any_size: bool,
    cam: bool,
    licence: str | None,
    data: Path | None,
    targets: tuple[tuple[str, ...], ...],
    precisions: tuple[tuple[str, ...], ...],
    required: tuple[tuple[str, ...], ...],
    keep: Any,
    calibration: Path | None,
    calibration_images: int | None,
    calibration_method: Any,
    when: str | None,
    batch: tuple[int, int, int] | None,
    capabilities: tuple[str, ...],
    provider: Any,
    bundle: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Export CHECKPOINT and prove each file equal to the network.

    CHECKPOINT is a run directory, a student's folder, or a weights file (.safetensors, .pt, .pth) of any classifier of
    torchvision, timm or the CIFAR family, trained anywhere. Writes model.onnx, model.fp16.onnx, model.int8.onnx,
    engines/ and openvino/ as requested, audit.json, preprocess.json, labels.json and parity.json; files of an
    earlier export into the same folder are removed first. If fp32 or a required file fails (exit 3), rejected/ alone
    is there, with the reports in parity.json and what was made. Any other file that fails is put into rejected/, with
    the reason. With --bundle, the files that pass are packed as a run packs them.
    """
    from pipeline.api.export_paths import check_paths

    check_paths(checkpoint, out, {"--data": data, "--calibration": calibration})
    from exporters.command import ExportRequest
    from exporters.labels import read_labels
    from exporters.student.checkpoint import CheckpointOptions
    from pipeline.api.export import Extras, execute_export
    from pipeline.streams import echo_json

    console = make_console(quiet, as_json)
    request = ExportRequest(
        flattened(precisions) or ("fp32",),
        onnx="onnx" in (flattened(targets) or ("onnx",)),
        engines=_engines("tensorrt" in flattened(targets), when, batch, capabilities),
        required=flattened(required),
        keep=keep,
        calibration=_calibration(calibration, calibration_images, calibration_method),
        bundle=bundle,
        openvino="openvino" in flattened(targets),
    )
    options = CheckpointOptions(
        model=model,
        arguments=dict(_argument(text) for text in arguments),
        labels=None if labels is None else read_labels(labels),
        image_size=image_size,
        resize=resize,
        mean=mean,
        std=std,
        interpolation=interpolation,
        weights_key=weights_key,
        name=name,
    )
    extras = Extras(opset, licence, probabilities, temperature, any_size, cam)
    done = execute_export(checkpoint, out, options, request, extras, data, provider, console)
    if bundle:
        console.say(f"next: tmkd-pipeline verify {shlex.quote(str(out / 'bundle'))}")
    else:
        console.say("with --bundle, the same command packs what verify, predict, benchmark and serve take")
    if as_json:
        echo_json({"out": str(out), "files": done.files, "reports": done.reports})
    else:
        console.result(f"exported to {out}: {', '.join(done.files)}")


def _calibration(folder: Path | None, images: int | None, method: Any) -> "CalibrationRequest | None":
    from exporters.command import CalibrationRequest

    given: dict[str, Any] = {"images": images, "method": method}
    given = {key: value for key, value in given.items() if value is not None}
    if folder is not None:
        return CalibrationRequest(folder, **given)
    if given:
        raise click.UsageError(f"--calibration-{next(iter(given))} needs --calibration, which is missing.")
    return None


def _engines(
    asked: bool, when: str | None, batch: tuple[int, int, int] | None, capabilities: tuple[str, ...]
) -> "EngineRequest | None":
    from exporters.command import EngineRequest
    from exporters.tensorrt.settings import EngineSettings

    options = {"--tensorrt": when, "--batch": batch, "--compute-capability": capabilities}
    given = [name for name, value in options.items() if value]
    if asked:
        settings = EngineSettings(batch or EngineSettings().batch, compute_capabilities=capabilities)
        return EngineRequest(settings, when != "available")
    if given:
        raise click.UsageError(f"{given[0]} is for engines: add tensorrt to --to.")
    return None


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--model-arg")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
