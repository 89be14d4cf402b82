"""Arguments and options that several commands share."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.stages.names import STAGE_NAMES

if TYPE_CHECKING:
    from pipeline.console import Console

PATH = click.Path(path_type=Path)
STAGE = click.Choice(STAGE_NAMES)
PRECISION_NAMES = ("fp32", "fp16", "int8")
MODEL_NAMES = (*PRECISION_NAMES, "int8.trt")
"""The models that a bundle may hold; the last is that which an engine is built from."""
PROVIDER_NAMES = ("cpu", "cuda", "tensorrt")

RECIPE = click.argument("recipe")


def _find_bundle(_context: click.Context, _argument: click.Parameter, path: Path) -> Path:
    from exporters.bundle.place import bundle_of

    return bundle_of(path)


BUNDLE = click.argument("bundle", type=PATH, callback=_find_bundle)
"""A bundle, or the folder of a run or an export that holds one."""
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


QUIET = click.option(
    "-q", "--quiet", is_flag=True, help="Print the result alone; warnings and errors go to standard error."
)


def as_json(what: str) -> Callable[[Any], Any]:
    """The option `--json`, by which JSON alone is on standard output; the command has it as `as_json`.

    Args:
        what: is printed, for the help, such as `the plan`.
    """
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON; messages go to standard error.")


def make_console(quiet: bool, as_json: bool) -> "Console":
    """The console of a command that has `-q`, `--json` or both."""
    from pipeline.console import Console

    return Console(sys.stderr if as_json else None, quiet=quiet)


@dataclass(frozen=True)
class Running:
    """How a run is run; see the help of the options.

    Attributes:
        until: the last stage; None: all.
        force: the stage that runs again; None: none.
        report: whether a page is written at the end.
        estimate: whether networks are tried for a moment, to say how long the run will take.
        quiet: whether the result alone is printed.
        as_json: whether the result is printed as JSON.
    """

    until: str | None
    force: str | None
    report: bool
    estimate: bool = True
    quiet: bool = False
    as_json: bool = False


def running(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `Running` to a command, which takes them together as `running`."""

    @functools.wraps(command)
    def together(
        *arguments: Any,
        until: str | None,
        force: str | None,
        report: bool,
        estimate: bool,
        quiet: bool,
        as_json: bool,
        **others: Any,
    ) -> Any:
        return command(*arguments, running=Running(until, force, report, estimate, quiet, as_json), **others)

    for option in (
        REPORT,
        as_json("what the run did"),
        QUIET,
        click.option(
            "--estimate/--no-estimate",
            default=True,
            envvar="TMKD_ESTIMATE",
            help="Try each network for a moment and say how long the run will take; default: --estimate.",
        ),
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
