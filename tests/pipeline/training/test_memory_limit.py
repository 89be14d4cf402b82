"""Memory that runs out: a network that raises PyTorch's own error for more images at once than there is room for."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from exporters.core.errors import UnavailableError
from pipeline.data.loading import Batch
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, fit
from pipeline.training.step import pieces_of
from tests.pipeline.training.toy import SIZE, STEPS, Call, batches_of, console, cross_entropy, make_training, run

BATCH = 12


def large_batches(epoch: int) -> Iterator[Batch]:
    """`STEPS` batches of 12 images."""
    for step in range(STEPS):
        batches = list(batches_of(100 * epoch + step))
        yield Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in Batch._fields[:3]))


def room_for(most: int, calls: list[int] | None = None) -> Callable[[Any, Call], dict[str, Tensor]]:
    """Losses of a device with room for so many images at once."""

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        if calls is not None:
            calls.append(len(call.labels))
        if len(call.labels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has none left.")
        return cross_entropy(task, call)

    return losses


def large(losses: Any, drop: float = 0.0, batches: Any = large_batches, **settings: Any) -> Any:
    given = {"batch_size": BATCH, "epochs": 3} | settings
    return make_training(drop=drop, losses=losses, batches=batches, settings=given)


def same(one: Fitted, two: Fitted) -> bool:
    return all(torch.equal(value, two.final_state[key]) for key, value in one.final_state.items())


def test_batch_is_divided_into_equal_pieces_of_two_images_or_more() -> None:
    batch = next(large_batches(0))
    for count, sizes in ((1, [12]), (2, [6, 6]), (4, [3] * 4), (8, [2] * 6), (5, [3, 3, 2, 2, 2])):
        pieces = pieces_of(batch, count)
        assert [len(piece.labels) for piece in pieces] == sizes
        for name in Batch._fields[:3]:
            assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(batch, name))
        assert all(piece.partners is None for piece in pieces)


def test_memory_that_runs_out_is_one_error_with_the_batch_that_fits(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        run(large(room_for(5), accumulate=2), tmp_path)
    error = caught.value
    assert error.message.startswith("toy: out of memory on cpu (")
    assert error.message.endswith("with 12 images at once: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert error.remedy == (
        "A batch_size of 3 is likely to fit, with accumulate 8 for as many images a step, or set auto_batch to true."
    )


def test_memory_that_fits_no_two_images_is_told(tmp_path: Path) -> None:
    for settings in ({}, {"auto_batch": True}):
        with pytest.raises(UnavailableError) as caught:
            run(large(room_for(1), **settings), tmp_path)
        assert "toy: out of memory" in caught.value.message and "smaller network" in str(caught.value.remedy)


def test_other_errors_are_not_taken_for_memory(tmp_path: Path) -> None:
    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        run(large(losses, auto_batch=True), tmp_path)


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "ema": 0.9, "head_epochs": 1}])
def test_training_that_fits_is_the_same_with_auto_batch(settings: dict[str, Any], tmp_path: Path) -> None:
    plain = run(large(room_for(BATCH), drop=0.5, **settings), tmp_path / "plain")
    auto = run(large(room_for(BATCH), drop=0.5, auto_batch=True, **settings), tmp_path / "auto")
    assert same(plain, auto)
    assert [{**row, "time": 0} for row in plain.history] == [{**row, "time": 0} for row in auto.history]


@pytest.mark.parametrize(("most", "pieces"), [(6, 2), (5, 4), (2, 6)])
@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "ema": 0.9, "head_epochs": 1}])
def test_pieces_make_the_step_of_the_whole_batch(
    most: int, pieces: int, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_norm(training: Any) -> Any:
        training.task.body[1] = torch.nn.Identity()  # its statistics are those of a piece
        return training

    calls: list[int] = []
    whole = run(without_norm(large(room_for(BATCH), **settings)), tmp_path / "whole")
    auto = run(without_norm(large(room_for(most, calls), auto_batch=True, **settings)), tmp_path / "auto")
    for name, value in auto.final_state.items():
        torch.testing.assert_close(value, whole.final_state[name], rtol=1e-4, atol=1e-6)
    assert [row["pieces"] for row in auto.history] == [pieces] * 3
    assert "pieces" not in whole.history[0]
    assert auto.history[2]["loss_ce"] == pytest.approx(whole.history[2]["loss_ce"], rel=1e-4)
    fitting = next(place for place, images in enumerate(calls) if images <= most)
    assert max(calls[fitting:]) == BATCH // pieces  # once it fits, nothing larger is tried


def test_smaller_pieces_are_told_with_the_reason(tmp_path: Path) -> None:
    screen, stream = console()
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one")
    fit(large(room_for(5), auto_batch=True), make_fabric("cpu", "fp32"), checkpoint, screen)
    assert "out of memory on cpu" in stream.getvalue()
    assert "each batch is divided into 2 pieces from here on (auto_batch)" in stream.getvalue()
    assert "each batch is divided into 4 pieces from here on (auto_batch)" in stream.getvalue()


class Stopped(Exception):
    pass


def test_training_goes_on_from_its_last_checkpoint_and_keeps_its_pieces(tmp_path: Path) -> None:
    """Memory runs out in epoch 2, and the process ends in epoch 3: as if each had gone on with what it knew."""
    room = [BATCH]

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        if call.samples.epoch == 1:
            room[0] = 6
        return room_for(room[0])(task, call)

    def break_off(epoch: int) -> Iterator[Batch]:
        if epoch == 2:
            raise Stopped
        yield from large_batches(epoch)

    whole = run(large(losses, drop=0.5, auto_batch=True), tmp_path / "whole")
    assert [row.get("pieces", 1) for row in whole.history] == [1, 2, 2]
    room[0] = BATCH
    with pytest.raises(Stopped):
        run(large(losses, drop=0.5, auto_batch=True, batches=break_off), tmp_path / "broken off")
    room[0] = BATCH  # there is room again, and the pieces are those of the checkpoint
    resumed = run(large(losses, drop=0.5, auto_batch=True), tmp_path / "broken off")
    assert same(whole, resumed)
    assert [row.get("pieces", 1) for row in resumed.history] == [1, 2, 2]


def test_broken_piece_is_left_out_and_the_others_count(tmp_path: Path) -> None:
    first = pieces_of(next(large_batches(0)), 2)[0].indices

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        found = room_for(6)(task, call)["ce"]
        broken = call.samples.epoch == 0 and torch.equal(call.samples.indices, first)
        return {"ce": found * (math.nan if broken else 1.0)}

    fitted = run(large(losses, auto_batch=True, on_nan="skip_batch"), tmp_path)
    assert fitted.history[0]["skipped_batches"] == 1 and fitted.history[0]["pieces"] == 2
    assert all(value.isfinite().all() for value in fitted.final_state.values() if value.is_floating_point())


def test_validation_that_does_not_fit_is_divided_too(tmp_path: Path) -> None:
    training = large(room_for(BATCH), auto_batch=True, epochs=1)
    sizes: list[int] = []

    def classifier() -> Callable[[Tensor], Tensor]:
        def scores(images: Tensor) -> Tensor:
            sizes.append(len(images))
            if len(images) > 60:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return torch.eye(2)[torch.zeros(len(images), dtype=torch.int64)]

        return scores

    training.task.classifier = classifier
    fitted = run(training, tmp_path)
    assert sizes == [100, 50, 50] and fitted.chosen_score == 1.0
    assert SIZE == 8
