"""Commands that are killed at random moments; 20 rounds are slow, more are left to people."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_commands_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "tests.soak.kill", "--rounds", "20", "--work", str(tmp_path / "work")]
    done = subprocess.run([*command, "--json", str(tmp_path / "kill.json")], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads((tmp_path / "kill.json").read_text())
    assert found["rounds"] == 20 and found["kills"] >= 20 and found["wrong"] == []
    assert found["checkpoints_within_epochs"] > 0
