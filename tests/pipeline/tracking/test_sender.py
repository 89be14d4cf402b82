"""Sending each figure once, by TensorBoard's event files, which are quick to write and to read."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking.interface import Epoch, Results
from pipeline.tracking.sender import Sender
from pipeline.tracking.sent import Sent
from pipeline.tracking.tensorboard import TensorBoard
from tests.pipeline.tracking.conftest import StoredRun, epoch, tracked_by
from tests.pipeline.tracking.test_tensorboard import points, read


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return StoredRun(tmp_path / "r", tracked_by("tensorboard"))


def sender_of(run: StoredRun, recipe: Any = None) -> Sender:
    return Sender("tensorboard", run.described, recipe or run.recipe, run.directory.path / "tracking")


def folders(run: StoredRun) -> dict[str, list[tuple[int, float]]]:
    """Folder → step and value of each point of the student's loss."""
    root = run.described.directory / "tensorboard"
    return {
        folder.name: [(step, value) for name, step, value in points(read(folder)) if name == "distill/loss"]
        for folder in sorted(root.iterdir())
    }


ONE, TWO, THREE = (epoch(number, loss=1 / number) for number in (1, 2, 4))


def test_nothing_is_opened_where_nothing_is_to_be_sent(run: StoredRun) -> None:
    sender = sender_of(run)
    sender.send([])
    sender.close()
    assert not (run.described.directory / "tensorboard").exists()


def test_every_epoch_is_sent_once_over_several_processes(run: StoredRun) -> None:
    for given in ([ONE], [ONE, TWO], [ONE, TWO], [ONE, TWO, THREE]):
        sender = sender_of(run)
        sender.send(given)
        sender.close()
        assert sender.missing([ONE, TWO, THREE]) == [each for each in (ONE, TWO, THREE) if each not in given]
    assert folders(run) == {"r": [(1, 1.0), (2, 0.5), (4, 0.25)]}


@pytest.mark.parametrize("arrived", [True, False])
def test_an_epoch_that_was_on_its_way_at_a_kill_is_sent_if_it_did_not_arrive(
    run: StoredRun, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    send = TensorBoard.send

    def killed(tracker: TensorBoard, epochs: list[Epoch], first: int) -> None:
        if arrived:
            send(tracker, epochs, first)
        raise KeyboardInterrupt

    sender = sender_of(run)
    sender.send([ONE])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TensorBoard, "send", killed)
        sender.send([ONE, TWO])
    sender.close()
    notes = Sent.read(run.directory.path / "tracking" / "tensorboard.json")
    assert notes.pending == {"distill": {"2": TWO.digest}} and notes.count == 1

    again = sender_of(run)
    again.send([ONE, TWO, THREE])
    again.close()
    assert folders(run) == {"r": [(1, 1.0), (2, 0.5), (4, 0.25)]}


def test_other_figures_of_an_epoch_that_was_sent_begin_another_run(run: StoredRun) -> None:
    first = sender_of(run)
    first.send([ONE, TWO])
    first.send([ONE, epoch(2, loss=0.75)])
    first.close()
    assert folders(run) == {"r": [(1, 1.0), (2, 0.5)], "r-2": [(1, 1.0), (2, 0.75)]}


def test_another_recipe_begins_another_run_and_another_tracker_setting_does_not(run: StoredRun) -> None:
    first = sender_of(run)
    first.send([ONE])
    first.close()
    changed = run.recipe.model_copy(update={"seed": 5})
    assert sender_of(run, changed).missing([ONE]) == [ONE]
    retracked = tracked_by("tensorboard", "mlflow", artifacts=["model"])
    assert sender_of(run, retracked).missing([ONE]) == []


def test_a_run_that_the_place_has_lost_is_sent_whole(run: StoredRun) -> None:
    first = sender_of(run)
    first.send([ONE, TWO])
    first.close()
    (folder,) = (run.described.directory / "tensorboard").iterdir()
    folder.rename(folder.parent.parent / "moved away")
    again = sender_of(run)
    again.send([ONE, TWO, THREE])
    again.close()
    assert [*folders(run).values()] == [[(1, 1.0), (2, 0.5), (4, 0.25)]]


def test_results_are_sent_when_they_are_new(run: StoredRun, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("a page")
    results = Results("shipped", values={"student/test/top1": 0.5}, files={"report.html": tmp_path / "report.html"})
    sender = sender_of(run)
    sender.finish(results)
    sender.close()
    assert not sender.needs(results) and not sender_of(run).needs(results)
    (tmp_path / "report.html").write_text("another page")
    assert sender_of(run).needs(results)
    assert sender_of(run).needs(Results("refused", "a gate", results.values))


def test_a_tracker_that_failed_can_be_tried_again(run: StoredRun) -> None:
    blocked = run.described.directory / "tensorboard"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("no folder")
    sender = sender_of(run)
    with pytest.raises(OSError):
        sender.send([ONE])
    sender.close()
    blocked.unlink()
    sender.send([ONE])
    sender.close()
    assert folders(run) == {"r": [(1, 1.0)]}
