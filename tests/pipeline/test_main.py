"""The exit code of an interrupted command."""

import os
import subprocess
import sys
from pathlib import Path

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
