"""Arguments and options that several commands share."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipeline.stages.names import STAGE_NAMES

PATH = click.Path(path_type=Path)
STAGE = click.Choice(STAGE_NAMES)
PRECISION_NAMES = ("fp32", "fp16", "int8")
MODEL_NAMES = (*PRECISION_NAMES, "int8.trt")
"""The models that a bundle may hold; the last is that which an engine is built from."""
PROVIDER_NAMES = ("cpu", "cuda", "tensorrt")

RECIPE = click.argument("recipe")
BUNDLE = click.argument("bundle", type=PATH)
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. train.epochs=5; repeatable."
)
RUN_DIRECTORY = click.option("--run-dir", type=PATH, metavar="DIR", help="Where files go; default: runs/<recipe name>.")
REPORT = click.option(
    "--report/--no-report",
    default=True,
    envvar="TMKD_REPORT",
    help="Write report.html, a page that shows what came of it; default: --report.",
)
PROVIDER = click.option(
    "--provider",
    type=click.Choice(PROVIDER_NAMES),
    default="cpu",
    show_default=True,
    help="Where ONNX Runtime runs; an error if it is not available.",
)
PRECISION = click.option(
    "--precision",
    type=click.Choice(MODEL_NAMES),
    default="fp32",
    show_default=True,
    help="Which model of the bundle to use.",
)


@dataclass(frozen=True)
class Running:
    """How a run is run; see the help of the options.

    Attributes:
        until: the last stage; None: all.
        force: the stage that runs again; None: none.
        report: whether a page is written at the end.
    """

    until: str | None
    force: str | None
    report: bool


def running(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `Running` to a command, which takes them together as `running`."""

    @functools.wraps(command)
    def together(*arguments: Any, until: str | None, force: str | None, report: bool, **others: Any) -> Any:
        return command(*arguments, running=Running(until, force, report), **others)

    for option in (
        REPORT,
        click.option("--force", type=STAGE, help="Run this stage again even if nothing changed."),
        click.option("--until", type=STAGE, help="Stop after this stage."),
    ):
        together = option(together)
    return together


def renamed(old: str, *, to: str, kind: click.ParamType) -> Callable[[Any], Any]:
    """A hidden, repeatable option by the name that it once had; a note names the new one.

    Args:
        old: the option as it was called, such as `--providers`; the command has its values as `old_providers`.
        to: the option as it is called now.
        kind: what both take.
    """

    def take(_context: click.Context, _option: click.Parameter, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if values:
            click.echo(f"note: {old} is now called {to}", err=True)
        return values

    name = f"old_{old.removeprefix('--').replace('-', '_')}"
    return click.option(old, name, type=kind, multiple=True, hidden=True, callback=take)
