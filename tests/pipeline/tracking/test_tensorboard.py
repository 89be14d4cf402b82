"""Event files, read back by TensorBoard's own EventAccumulator."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from pipeline.console import Console
from pipeline.tracking.live import resend
from pipeline.tracking.registry import make_tracker
from tests.pipeline.tracking.conftest import StoredRun, epoch, expected, tracked_by


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return StoredRun(tmp_path / "first", tracked_by("tensorboard"))


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def points(events: EventAccumulator) -> list[tuple[str, int, float]]:
    return [(name, each.step, each.value) for name in events.Tags()["scalars"] for each in events.Scalars(name)]


def text(events: EventAccumulator, name: str) -> str:
    (event,) = events.Tensors(name)
    return str(event.tensor_proto.string_val[0].decode())


def test_scalars_are_the_figures_of_the_metrics_as_float32(run: StoredRun, console: Console) -> None:
    run.finish()
    resend(run.directory, run.recipe, console)
    events = read(run.directory.path / "tracking" / "tensorboard" / "first")
    epochs = {key: np.float32(value) for key, value in expected(run).items()}
    found = [(name, step, value) for name, step, value in points(events) if not name.startswith("final/")]
    assert len(found) == len(epochs)
    assert {(name, step): np.float32(value) for name, step, value in found} == epochs
    assert ("final/student/test/top1", 0, 0.5625) in points(events)
    assert ("final/gates/validate.min_top1/passed", 0, 1.0) in points(events)


def test_recipe_tags_and_result_are_texts(run: StoredRun, console: Console) -> None:
    run.finish()
    resend(run.directory, run.recipe, console)
    events = read(run.directory.path / "tracking" / "tensorboard" / "first")
    assert "| data.dataset | folder |" in text(events, "recipe")
    assert "| recipe_name | birds |" in text(events, "run")
    assert text(events, "result") == "shipped"
    hparams: Any = plugin_data_pb2.HParamsPluginData.FromString(
        events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    )
    assert hparams.session_start_info.hparams["data.image_size"].string_value == "32"


def test_a_folder_that_is_still_there_is_gone_on_with(run: StoredRun) -> None:
    first = make_tracker("tensorboard", run.described)
    known = first.open(None)
    first.send([epoch(1, loss=0.5)], 1)
    first.close()
    again = make_tracker("tensorboard", run.described)
    assert again.open(known) == known
    assert again.has(epoch(1, loss=0.5)) and not again.has(epoch(2, loss=0.5)) and not again.has(epoch(1, lr=0.1))
    again.send([epoch(2, loss=0.25)], 2)
    again.close()
    assert points(read(run.described.directory / "tensorboard" / known)) == [
        ("distill/loss", 1, 0.5),
        ("distill/loss", 2, 0.25),
    ]


def test_runs_of_one_name_have_folders_of_their_own(run: StoredRun) -> None:
    names = []
    for _ in range(2):
        tracker = make_tracker("tensorboard", run.described)
        names.append(tracker.open(None))
        tracker.close()
    assert names == ["first", "first-2"]
