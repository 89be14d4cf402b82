"""The command `tmkd-pipeline`, also `python -m pipeline`: every error becomes one message and an exit code."""

import difflib
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress

import click

from exporters.core.errors import TmkdError, UsageError
from exporters.core.interrupts import Terminated, interrupt_in, interrupts_kept, raise_on_termination
from exporters.core.out_of_memory import REMEDY as OUT_OF_MEMORY_REMEDY
from exporters.core.out_of_memory import describe_out_of_memory, is_out_of_memory
from exporters.core.visible import bounded, visible
from exporters.core.write_errors import describe_os_error
from pipeline.distributed.ranks import LAUNCHED, is_one_of_several, this_rank
from pipeline.streams import echo, flush_streams, protect_streams

_GOING_ON = frozenset({"run", "train", "compare"})
"""Commands that go on where they were interrupted."""


def main() -> None:
    """Run the command line; never returns."""
    # Threads that wait for each other sleep rather than spin: with another process on the same cores, spinning made
    # training on two cores five times slower. It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    protect_streams()
    warnings.filterwarnings("ignore", module=r"PIL\b")  # of damaged images, which are read or refused, and name none
    if os.environ.get("CI") or not sys.stderr.isatty():
        # Bars of libraries, while they fetch weights for one, are for terminals alone.
        for name in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"):
            os.environ.setdefault(name, "1")
    # A traceback is for those who ask for one, wherever on the line they do.
    if _is_one_of_several():
        # Warnings of C++ code about how gradients are exchanged would come once from each process.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    raise_on_termination()
    began: list[str] = []  # stages; a run adds them
    try:
        with interrupts_kept():
            from pipeline.cli import cli

            code = cli.main(args=arguments, prog_name="tmkd-pipeline", standalone_mode=False, obj=began)
            flush_streams()
    except click.ClickException as error:
        code = error.exit_code
        _report(_invalid_line(error), debug)
    except TmkdError as error:
        code = error.exit_code
        if error.message:  # else whoever met it has said it
            _report(f"error: {error}", debug)
    except (KeyboardInterrupt, click.Abort) as error:
        interrupt = interrupt_in(error)
        terminated = interrupt.number if isinstance(interrupt, Terminated) else None
        code = 128 + (terminated or signal.SIGINT)
        cause = "terminated" if terminated else "interrupted"
        if not _is_told_elsewhere():
            _report(f"{cause}; nothing is half-written, and {_what_goes_on(arguments, began)}", debug)
    except ModuleNotFoundError as error:
        code = _missing(error, debug)
    except OSError as error:
        code = 4
        _report(f"error: {describe_os_error(error)}", debug)
    except Exception as error:
        if is_out_of_memory(error):
            code = 4
            _report(f"error: {describe_out_of_memory(error)}\n  {OUT_OF_MEMORY_REMEDY}", debug)
        else:
            code = 1
            _internal(error, debug)
    with suppress(OSError):
        flush_streams()
    code = code if isinstance(code, int) else 0
    if _is_one_of_several():
        os._exit(code)  # threads of a process group abort the interpreter at its end
    sys.exit(code)


def _invalid_line(error: click.ClickException) -> str:
    """What is wrong with the command line, in the form of our own errors; for a group without a command its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    message = visible(bounded(error.format_message())).rstrip(".").replace("\n", "\n  ")
    for kind, noun in (("integer", "an integer"), ("float", "a number")):
        message = re.sub(rf" is not a valid {kind}(?: range)?$", f" is not {noun}", message)
    message += _nearest_choice(error)
    if message[1:2].islower():
        message = message[0].lower() + message[1:]
    lines = [f"error: {message}"]
    if isinstance(error, click.UsageError) and error.ctx is not None:
        lines += error.ctx.get_usage().splitlines()
        lines.append(f"Try `{error.ctx.command_path} --help`.")
    return "\n  ".join(lines)


def _nearest_choice(error: click.ClickException) -> str:
    """The name that a value which is none of an option's names most likely means, as a question; empty without one."""
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param is not None else None
    given = re.match(r"'(.{1,60}?)' is not one of ", error.message)
    if not isinstance(kind, click.Choice) or given is None:
        return ""
    near = difflib.get_close_matches(given[1], [str(name) for name in kind.choices], n=1)
    return f". Did you mean {near[0]!r}?" if near else ""


def _is_one_of_several() -> bool:
    try:
        return is_one_of_several()
    except UsageError:  # it is the error that ends this command
        return False


def _what_goes_on(arguments: list[str], began: Sequence[str]) -> str:
    """The end of what is said of an interrupt: how to go on.

    Args:
        arguments: of the command.
        began: the stages that had begun; one that was forced is begun anew by the same command, and others need it.
    """
    if not _GOING_ON.intersection(arguments[:1]):
        return "the same command can be run again"
    # Whether stages began in processes that were started for --devices is not known here.
    elsewhere = any(argument.startswith("--devices") for argument in arguments)
    rest = _without_force(arguments, began) if not elsewhere else _without_force(arguments, None)
    how = "the same command goes on from there"
    if rest != arguments:
        how = "without --force, which would begin the stage anew, it goes on from there"
    return f"{how}:\n  {shlex.join(['tmkd-pipeline', *rest])}"


def _without_force(arguments: list[str], began: Sequence[str] | None) -> list[str]:
    """The arguments without `--force` of a stage that began; None: of any stage."""
    rest: list[str] = []
    for argument in arguments:
        after = rest[-1] if rest else ""
        stage = argument if after == "--force" else argument.removeprefix("--force=")
        is_force = after == "--force" or stage != argument
        if is_force and (began is None or stage in began):
            if after == "--force":
                rest.pop()
        else:
            rest.append(argument)
    return rest


def _is_told_elsewhere() -> bool:
    """Whether an interrupt is reported by the process that has started this one, or by the first of several."""
    return LAUNCHED in os.environ or (_is_one_of_several() and not this_rank().leads)


def _missing(error: ModuleNotFoundError, debug: bool) -> int:
    """A package that an extra brings is something that is missing here; one of ours is a fault of ours."""
    package = (error.name or "").partition(".")[0]
    if package in ("", "pipeline", "exporters"):
        _report(f"internal error: {error}\n  Install the package again.", debug)
        return 1
    _report(
        f"error: the package {package} is not installed\n"
        "  Training and export need the extra `cpu` (or `gpu`), verify and predict the extra `runtime`:"
        " `make install` in a clone brings what is needed.",
        debug,
    )
    return 4


def _internal(error: Exception, debug: bool) -> None:
    _report(f"internal error: {type(error).__name__}: {error}\n  Run again with --debug for the traceback.", debug)


def _report(text: str, debug: bool) -> None:
    with suppress(OSError):  # standard error on a full disk; the exit code still says so
        if debug:
            traceback.print_exc()
        echo(bounded(text), err=True)


if __name__ == "__main__":
    try:
        main()
    finally:
        # `python -m` ends itself by SIGINT, and not with our exit code, where an interrupt met code of an `exec`.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
