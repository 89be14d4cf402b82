"""Telling what holds, and the exit codes of what does not: 3 something is wrong, 4 something is missing here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Missing(Exception):
    """Something that is needed is not on this machine."""


class Failed(Exception):
    """Something is not as it must be."""


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def expect(true: bool, text: str, found: object = "") -> None:
    """Tell that something holds, or fail with what was found."""
    if not true:
        raise Failed(f"not so: {text}\n{found}".rstrip())
    tell(f"  {text}")


def call(
    words: Sequence[str | Path], *, at: Path | None = None, environment: Mapping[str, str] | None = None, code: int = 0
) -> str:
    """Run a command to its end.

    Args:
        words: the command.
        at: the folder that it runs in; None: the project's.
        environment: its variables; None: those of this process.
        code: the exit code that it must end with.

    Returns:
        Standard output.

    Raises:
        Failed: another exit code; with all that it said.
    """
    done = subprocess.run(
        [str(word) for word in words], cwd=at or ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != code:
        said = f"{done.stdout}{done.stderr}".strip()
        raise Failed(f"not so: {' '.join(map(str, words))}: exit {code}, got {done.returncode}\n{said}")
    return done.stdout


def find_program(name: str) -> Path:
    """A program of this Python's environment or of the PATH.

    Raises:
        Missing: it is in neither.
    """
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=folders)
    if found is None:
        raise Missing(f"{name} is not on the PATH; `make install` brings what releases are made with")
    return Path(found)


def ended(work: Callable[[], None]) -> int:
    """The exit code of some work; what went wrong is told on standard error."""
    try:
        work()
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except Missing as error:
        print(f"error: missing here: {error}", file=sys.stderr)
        return 4
    return 0
