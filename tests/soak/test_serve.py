"""The judgement of the soak; a short run of it is slow, a long one is left to people."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporters.bundle.contents import BundleContents
from exporters.bundle.pack import pack
from tests.exporters.conftest import cifar, contents  # noqa: F401
from tests.soak.serve import failures, is_orderly

GOOD: dict[str, Any] = {
    "wrong": 0,
    "lost": 0,
    "examples": [],
    "growth": 1.09,
    "memory_bytes": {},
    "exit_code": 0,
    "seconds_to_end": 1.0,
    "probes": 9,
    "probes_failed": 0,
    "attacks": {"silence": {"ended": 3}, "upload": {"422": 2, "503": 1, "ended": 1}},
    "log_events": {"request": 9},
}


@pytest.mark.parametrize(
    "change",
    [
        {"wrong": 1},
        {"lost": 1},
        {"growth": 1.11},
        {"exit_code": None},
        {"exit_code": 1},
        {"probes_failed": 1},
        {"attacks": {"silence": {"stays": 1}}},
        {"attacks": {"upload": {"500": 1}}},
        {"log_events": {"error": 1}},
    ],
)
def test_what_must_not_be_is_told(change: dict[str, Any]) -> None:
    assert failures(GOOD) == []
    assert len(failures({**GOOD, **change})) == 1


@pytest.mark.parametrize("outcome", ["stays", "stays, 200", "500", "504", "TimeoutError", "b'{\"predictions\"'"])
def test_unbounded_and_failing_answers_are_not_orderly(outcome: str) -> None:
    assert not is_orderly(outcome)


@pytest.mark.slow
def test_short_soak_passes(contents: BundleContents, tmp_path: Path) -> None:  # noqa: F811
    pack(contents, tmp_path / "bundle")
    command = [sys.executable, "-m", "tests.soak.serve", str(tmp_path / "bundle"), "--requests", "2000"]
    done = subprocess.run([*command, "--json", str(tmp_path / "soak.json")], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads((tmp_path / "soak.json").read_text())["answered"] >= 2000
