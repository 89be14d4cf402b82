"""Sdist and wheel as they are built; `make wheel` also installs and uses them."""

import shutil
from pathlib import Path

import pytest

from release.wheel import build

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a clone")
def test_wheel_and_sdist_hold_what_they_should_and_give_the_same_wheel(tmp_path: Path) -> None:
    sdist, wheel = build(tmp_path)
    assert (sdist.suffix, wheel.suffix) == (".gz", ".whl")
