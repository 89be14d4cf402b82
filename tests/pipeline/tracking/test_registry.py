import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from exporters.core.errors import UnavailableError
from pipeline.commands.track import TRACKER_NAMES
from pipeline.recipe.schema.track import TrackerName
from pipeline.tracking import registry
from pipeline.tracking.registry import TRACKERS, make_tracker, require_installed
from tests.pipeline.tracking.conftest import StoredRun, tracked_by


def test_schema_command_and_registry_name_the_same_trackers() -> None:
    assert [*get_args(TrackerName)] == [*TRACKERS] == [*TRACKER_NAMES]


def test_all_are_installed_for_the_tests() -> None:
    require_installed(TRACKERS)


def test_missing_packages_are_named_with_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name in ("wandb", "alembic") else object())
    require_installed(["tensorboard"])
    with pytest.raises(UnavailableError, match=r"mlflow needs alembic.*wandb needs wandb") as caught:
        require_installed(["tensorboard", "mlflow", "wandb"])
    assert caught.value.remedy is not None and "'tmkd-pipeline[mlflow,wandb]'" in caught.value.remedy


def test_a_tracker_that_is_not_opened_imports_no_package(tmp_path: Path) -> None:
    run = StoredRun(tmp_path / "r", tracked_by(*TRACKERS))
    for name in TRACKERS:
        tracker = make_tracker(name, run.described)
        assert tracker.place and tracker.hint and not tracker.off
    code = (
        "import sys, pipeline.tracking.live, pipeline.commands.track, pipeline.tracking.tensorboard,"
        " pipeline.tracking.mlflow, pipeline.tracking.wandb\n"
        "print(sorted({'torch', 'tensorboard', 'mlflow', 'wandb', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
