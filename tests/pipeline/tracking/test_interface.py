from pathlib import Path

import pytest

from pipeline.tracking.interface import Tracker
from tests.pipeline.tracking.conftest import StoredRun, make_recipe


def test_a_tracker_must_say_all_that_is_asked_of_it(tmp_path: Path) -> None:
    described = StoredRun(tmp_path / "r", make_recipe()).described
    with pytest.raises(TypeError, match="abstract"):
        Tracker(described)  # type: ignore[abstract]
