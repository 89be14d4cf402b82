"""The script that builds and tries the images, on a machine without its requirements."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.dockerfiles import ROOT

SCRIPT = ROOT / "docker" / "check"


def check(*words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(SCRIPT.with_name("check.py")), *words]
    return subprocess.run(program, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=60)


def test_script_is_executable() -> None:
    assert SCRIPT.stat().st_mode & 0o111
    assert "check.py" in SCRIPT.read_text("utf-8")


def test_missing_requirements_are_listed(tmp_path: Path) -> None:
    done = check("serve", "--folder", str(tmp_path))
    assert done.returncode == 4
    for need in ("Docker engine", "buildah", "debootstrap", "root"):
        assert need in done.stdout


@pytest.mark.parametrize("words", [("bake",), ("--engine", "none")])
def test_unknown_image_or_engine_is_a_usage_error(words: tuple[str, ...]) -> None:
    assert check(*words).returncode == 2


def test_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    """Refused before anything is built: only the engine has been asked for."""
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\nexit 0\n")
    engine.chmod(0o755)
    done = check("serve", "--folder", str(tmp_path / "work"), "--bundle", str(tmp_path), path=str(tmp_path))
    assert done.returncode == 4
    assert "is no bundle" in done.stdout
