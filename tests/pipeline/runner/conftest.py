from pathlib import Path

import pytest

from tests.pipeline.runner.stages import Line


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path / "run")


@pytest.fixture
def finished_line(tmp_path: Path) -> Line:
    line = Line(tmp_path / "donor")
    line.a.values = {"text": "x"}
    line.execute()
    return line
