"""Importing and using the Python API leaves the process unchanged, except for what `process_state.py` names."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_python_api_leaves_process_state_unchanged(tmp_path: Path) -> None:
    quick = ["teacher.visual.fit.epochs=1", "train.epochs=1", "distill.teacher_cache.passes=1"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.use_python_api", str(tmp_path), *quick],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        # So that what the caller has set is seen to stay, and what it has not, not to come.
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    # `exporters/core/process_state.py` says why.
    assert ended.stdout.splitlines() == ["import: environment ORT_DISABLE_TELEMETRY: None -> '1'"]
