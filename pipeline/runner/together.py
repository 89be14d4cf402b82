"""Work that several processes do together: what the leader begins, its followers begin too.

The leader runs a recipe as a single process does. Where it comes to work that is shared (`together`, and a stage whose
`shared` is true), it sends the call to the other processes, which wait for it. They make the same call, with a console
that shows nothing and a context that does not lead: they read what the leader reads, and write nothing.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from exporters.core.errors import GateError, UnavailableError
from pipeline.distributed.ranks import is_one_of_several
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import Stage, StageContext

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.distributed.group import Group
    from pipeline.recipe.schema.recipe import Recipe

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Call:
    """What followers are to do: a function by name, or a stage's `run`."""

    target: str
    recipe: "Recipe"
    run: Path
    cache: Path
    fingerprint: str
    rivals: "tuple[Recipe, ...]"
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def together(function: Callable[Concatenate[StageContext, P], R]) -> Callable[Concatenate[StageContext, P], R]:
    """Make a function of a module shared work: called by the leader, it runs in all processes.

    Its arguments are sent as they are; what it does besides computing, it does only where `context.leads`.
    """

    @wraps(function)
    def call(context: StageContext, /, *arguments: P.args, **options: P.kwargs) -> R:
        with _shared(context, f"{function.__module__}:{function.__qualname__}", arguments, options):
            return function(context, *arguments, **options)

    return call


def run_stage(stage: Stage, context: StageContext) -> dict[str, Any]:
    """Run a stage, in all processes where its work is shared."""
    if not stage.shared:
        return stage.run(context)
    with _shared(context, f"{type(stage).__module__}:{type(stage).__qualname__}"):
        return stage.run(context)


@contextmanager
def _shared(
    context: StageContext, target: str, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
) -> Iterator[None]:
    """A block that followers do as well: sent to them, unless they are doing it, or work around it, already."""
    if not is_one_of_several():
        yield
        return
    from pipeline.distributed.collectives import is_sharing, sharing
    from pipeline.distributed.group import current_group

    group = current_group()
    if group is not None and context.leads and not is_sharing():
        run = context.run
        group.send(
            _Call(
                target,
                context.recipe,
                run.path,
                run.cache,
                context.fingerprint,
                context.rivals,
                arguments,
                options or {},
            )
        )
    with sharing():
        yield


def follow(group: "Group", console: "Console") -> None:
    """Do what the leader sends, until it is done.

    A gate that fails fails in the leader as well, which decides what follows from it.

    Args:
        group: in which this process does not lead.
        console: shows nothing.

    Raises:
        TmkdError: the work cannot be done here.
    """
    while (call := group.receive()) is not None:
        run = RunDirectory(call.run, cache=call.cache)
        if not (call.run / ".lock").is_file():
            raise UnavailableError(
                f"{call.run}, where process 1 keeps its files, is not there on this machine",
                remedy="Give all machines the same directory: --run-dir on a disk that they share, and the same"
                " working directory.",
            )
        context = StageContext(call.recipe, run, console, call.fingerprint, call.rivals, leads=False)
        module, _, name = call.target.partition(":")
        found = getattr(importlib.import_module(module), name)
        try:
            if isinstance(found, type):
                run_stage(found(), context)
            else:
                found(context, *call.arguments, **call.options)
        except GateError:
            continue
