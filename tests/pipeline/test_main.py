"""The exit code of an interrupted command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import __main__ as entry

REPOSITORY = Path(__file__).resolve().parents[2]

INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline.cli import cli
cli.main = lambda **_: exec("signal.raise_signal(signal.SIGINT)")
"""


def test_interrupt_within_an_exec_is_exit_130(tmp_path: Path) -> None:
    """Libraries make functions from text by `exec`; an interrupt there has Python end itself by the signal."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}
    command = [sys.executable, "-m", "pipeline"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("interrupted; nothing is half-written")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "my recipe.yaml"], "the same command goes on from there:\n  tmkd-pipeline run 'my recipe.yaml'"),
        (["compare", "a.yaml"], "the same command goes on from there:\n  tmkd-pipeline compare a.yaml"),
        (["train", "photos"], "the same command goes on from there:\n  tmkd-pipeline train photos"),
        (
            ["run", "a.yaml", "--force", "distill", "--until", "distill"],
            "without --force, which would begin the stage anew, it goes on from there:\n"
            "  tmkd-pipeline run a.yaml --until distill",
        ),
        (
            ["run", "--force=distill", "a.yaml"],
            "without --force, which would begin the stage anew, it goes on from there:\n  tmkd-pipeline run a.yaml",
        ),
        (
            ["run", "a.yaml", "--force", "teacher"],  # which had not begun
            "the same command goes on from there:\n  tmkd-pipeline run a.yaml --force teacher",
        ),
        (
            ["run", "a.yaml", "--force", "teacher", "--devices", "2"],
            "without --force, which would begin the stage anew, it goes on from there:\n"
            "  tmkd-pipeline run a.yaml --devices 2",
        ),
        (["verify", "run"], "the same command can be run again"),
        ([], "the same command can be run again"),
    ],
)
def test_interrupted_command_that_goes_on_is_given_to_type_again(arguments: list[str], message: str) -> None:
    assert entry._what_goes_on(arguments, ["distill"]) == message
