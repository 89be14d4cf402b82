"""The command `export`: one checkpoint to ONNX, proved, without the rest of the pipeline."""

import json
from pathlib import Path
from typing import Any

import click


class Channels(click.ParamType):
    """Three numbers with commas between them."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a tuple of three floats."""
        try:
            red, green, blue = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} are not three numbers such as 0.485,0.456,0.406", param, ctx)
        return red, green, blue


class Names(click.ParamType):
    """Some of a few names, with commas between them."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.name = ",".join(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a tuple of names."""
        names = tuple(part.strip() for part in str(value).split(",") if part.strip())
        unknown = [name for name in names if name not in self.known]
        if unknown or not names:
            what = repr(unknown[0]) if unknown else "nothing"
            self.fail(f"{what} is not one of {', '.join(self.known)}", param, ctx)
        return names


CHANNELS = Channels()
PRECISIONS = Names("fp32", "fp16", "int8")
PATH = click.Path(path_type=Path)
SIZE = click.IntRange(min=1)


@click.command()
@click.argument("checkpoint", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Where the files go.")
@click.option("--model", metavar="NAME", help="The network of a weights file, e.g. resnet18 or timm:convnext_atto.")
@click.option("--model-arg", "arguments", multiple=True, metavar="KEY=VALUE", help="Of the network; repeatable.")
@click.option("--labels", type=PATH, metavar="FILE", help="One a line, or JSON; default: class_0, class_1, …")
@click.option("--image-size", type=SIZE, metavar="N", help="Side of the square that the network sees.")
@click.option("--resize", type=SIZE, metavar="N", help="The shorter side before the crop.")
@click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]), help="The filter for resizing.")
@click.option("--mean", type=CHANNELS, help="For images in [0, 1]; default: what the library publishes.")
@click.option("--std", type=CHANNELS, help="Likewise.")
@click.option("--name", metavar="NAME", help="What the student is called; default: as the file.")
@click.option("--opset", type=int, default=20, show_default=True, help="18 to 25.")
@click.option("--probabilities", is_flag=True, help="A second output, the softmax of the logits.")
@click.option("--any-size", is_flag=True, help="Take images of any size, and resize them inside the graph.")
@click.option("--licence", metavar="SPDX", help="Of the weights.")
@click.option("--data", type=PATH, metavar="DIR", help="Images, or folders of classes, to prove the files on.")
@click.option("--precision", "precisions", type=PRECISIONS, multiple=True, help="fp32 is always made; default: fp32.")
@click.option("--require", "required", type=PRECISIONS, multiple=True, help="Nothing is written unless these pass.")
@click.option(
    "--keep",
    type=click.Choice(["useful", "all"]),
    default="useful",
    show_default=True,
    help="useful: a variant that is not faster than fp32 here is left out.",
)
@click.option("--calibration", type=PATH, metavar="DIR", help="For int8: images that the network was trained on.")
@click.option("--calibration-images", type=SIZE, metavar="N", help="How many of them; default: 512.")
@click.option(
    "--calibration-method",
    type=click.Choice(["minmax", "entropy", "percentile"]),
    help="minmax (default): all that was seen; the others clip what is rare.",
)
@click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "tensorrt"]),
    default="cpu",
    show_default=True,
    help="Where ONNX Runtime runs the files; one that is not there is an error.",
)
def export(
    checkpoint: Path,
    out: Path,
    model: str | None,
    arguments: tuple[str, ...],
    labels: Path | None,
    image_size: int | None,
    resize: int | None,
    interpolation: Any,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    name: str | None,
    opset: int,
    probabilities: bool,
    any_size: bool,
    licence: str | None,
    data: Path | None,
    precisions: tuple[tuple[str, ...], ...],
    required: tuple[tuple[str, ...], ...],
    keep: Any,
    calibration: Path | None,
    calibration_images: int | None,
    calibration_method: Any,
    provider: Any,
) -> None:
    """Export CHECKPOINT and prove each file equal to the network in torch.

    CHECKPOINT is a run directory, a student's folder, or a weights file (.safetensors, .pt, .pth) of any classifier of
    torchvision, timm or the CIFAR family, trained anywhere. Writes model.onnx, model.fp16.onnx and model.int8.onnx
    where they are asked for, audit.json, preprocess.json, labels.json and parity.json; nothing of it where fp32 or a
    required file fails (exit 3). Another file that fails is put into rejected/, with the reason.
    """
    from exporters.checkpoint import load_checkpoint, read_labels
    from exporters.command import CalibrationRequest, VariantRequest, export_checkpoint

    how = {"images": calibration_images, "method": calibration_method}
    given = {key: value for key, value in how.items() if value is not None}
    if given and calibration is None:
        raise click.UsageError(f"--calibration-{next(iter(given))} says how to use --calibration, which is missing.")
    variants = VariantRequest(
        _once(precisions) or ("fp32",),
        _once(required),
        keep,
        None if calibration is None else CalibrationRequest(calibration, **given),
    )
    loaded = load_checkpoint(
        checkpoint,
        model=model,
        arguments=dict(_argument(text) for text in arguments),
        labels=None if labels is None else read_labels(labels),
        image_size=image_size,
        resize=resize,
        mean=mean,
        std=std,
        interpolation=interpolation,
        name=name,
    )
    export_checkpoint(
        loaded,
        out,
        opset=opset,
        licence=licence,
        probabilities=probabilities,
        any_size=any_size,
        data=data,
        variants=variants,
        provider=provider,
        say=click.echo,
    )
    click.echo(f"exported to {out}")


def _once(lists: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--model-arg")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
