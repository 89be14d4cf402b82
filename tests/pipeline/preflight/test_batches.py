"""Schedules with few steps, before anything is trained."""

from typing import Literal

import pytest

from pipeline.preflight import batches
from pipeline.preflight.batches import few_steps_warning, short_steps_warning, uneven_parts
from pipeline.training.settings import NetworkFitSettings
from tests.pipeline.preflight.conftest import Prospect


def test_few_steps_name_a_better_batch_size() -> None:
    assert few_steps_warning("train", 160, 64, 30) == (
        "only 2 steps an epoch (160 images, train.batch_size 64), 60 in all: set train.batch_size to 16 for 10 an epoch"
    )
    assert (few_steps_warning("train", 50, 64, 30) or "").startswith("only 1 step an epoch (50 images, ")
    assert few_steps_warning("train", 160, 8, 30, accumulate=8) == (
        "only 2 steps an epoch (160 images, train.batch_size 8 times train.accumulate 8), 60 in all:"
        " set train.batch_size to 16 and train.accumulate to 1 for 10 an epoch"
    )


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"),
    [(640, 64, 30), (160, 64, 250), (160, 16, 10), (48, 16, 2), (48, 24, 1), (1, 1, 1), (1728, 32, 10)],
)
def test_enough_steps_are_not_warned_of(images: int, batch_size: int, epochs: int) -> None:
    assert few_steps_warning("train", images, batch_size, epochs) is None


def test_every_schedule_that_will_run_is_checked(prospect: Prospect) -> None:
    large = [f"{section}.batch_size=64" for section in ("train", "teacher.visual.fit", "teacher.text.fit")]
    warnings = prospect.report(batches.check_steps, *large).warnings
    assert [warning.split("images, ")[1].split(".batch_size")[0] for warning in warnings] == [
        "train", "teacher.visual.fit", "teacher.text.fit"
    ]  # fmt: skip
    assert prospect.report(batches.check_steps, *large, stages=("fusion",)).warnings == []


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    ("images", "batch", "accumulate", "taken", "fitting"),
    [
        (200, 64, 8, 192, {"accumulate": 3}),
        (40, 64, 8, 40, {"batch_size": 40, "accumulate": 1}),
        (40, 64, 1, 40, {"batch_size": 40}),
    ],
)
def test_scaled_rate_of_steps_that_an_epoch_ends_before_is_warned_of(
    optimizer: Literal["sgd", "adamw"], images: int, batch: int, accumulate: int, taken: int, fitting: dict[str, int]
) -> None:
    schedule = NetworkFitSettings(
        lr=0.1, optimizer=optimizer, batch_size=batch, accumulate=accumulate, scale_lr=True, epochs=9000
    )
    warning = short_steps_warning("train", images, schedule) or ""
    assert f"train.scale_lr: {taken} images a step, not {batch * accumulate}, because an epoch has " in warning
    growth = taken / 256
    right = 0.1 * (growth if optimizer == "sgd" else growth**0.5)
    assert f"would make it {right:.4g}. Set {' and '.join(f'train.{k} to {v}' for k, v in fitting.items())}" in warning
    followed = schedule.model_copy(update=fitting)
    assert followed.peak_lr == pytest.approx(right) and short_steps_warning("train", images, followed) is None


def test_steps_that_an_epoch_ends_before_are_warned_of_once(prospect: Prospect) -> None:
    """Where the rate does not follow the images, the warning of few steps is enough."""
    many = ("train.accumulate=64", "train.batch_size=16", "train.epochs=9000")
    (warning,) = prospect.report(batches.check_steps, *many, stages=("distill",)).warnings
    assert warning.startswith("train.accumulate: ") and "; a learning rate for 1,024 is too high. Set train" in warning
    (warning,) = prospect.report(batches.check_steps, *many[:2], stages=("distill",)).warnings
    assert warning.startswith("only 1 step an epoch")
    scaled = ("train.scale_lr=true", "train.lr=0.1")
    found = prospect.report(batches.check_steps, *many[:2], *scaled, stages=("distill",)).warnings
    assert found[0].startswith("only 1 step an epoch") and found[1].startswith("train.scale_lr: ")


@pytest.mark.parametrize(("images", "batch", "accumulate", "scale"), [(512, 64, 8, True), (40, 64, 1, False)])
def test_steps_as_large_as_asked_are_not_warned_of(images: int, batch: int, accumulate: int, scale: bool) -> None:
    schedule = NetworkFitSettings(lr=0.1, batch_size=batch, accumulate=accumulate, scale_lr=scale)
    assert short_steps_warning("train", images, schedule) is None


@pytest.mark.parametrize(
    ("images", "batch_size", "processes", "remedy"),
    [(640, 64, 3, "Set it to 63 or 66."), (50, 64, 4, "Set it to 48."), (100, 2, 4, "Set it to 4."), (3, 64, 8, "Use")],
)
def test_batches_that_processes_cannot_divide_are_refused(
    images: int, batch_size: int, processes: int, remedy: str
) -> None:
    error = uneven_parts("train", images, batch_size, processes)
    assert error is not None and error.remedy is not None
    assert f"cannot be divided among {processes} processes" in error.message
    assert error.remedy.startswith(remedy)


@pytest.mark.parametrize(("images", "batch_size", "processes"), [(640, 64, 1), (7, 64, 1), (640, 64, 4), (8, 64, 4)])
def test_batches_that_processes_can_divide_are_not(images: int, batch_size: int, processes: int) -> None:
    assert uneven_parts("train", images, batch_size, processes) is None


def test_parts_of_every_schedule_are_checked(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prospect.report(batches.check_parts).errors == []
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "5")
    errors = prospect.report(batches.check_parts).errors
    assert [error.message.partition(".batch_size")[0] for error in errors] == [
        "train", "teacher.visual.fit", "teacher.text.fit"
    ]  # fmt: skip


def test_dividing_batches_is_refused_where_several_processes_train(
    prospect: Prospect, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = ("train", "teacher.visual.fit", "teacher.text.fit")
    asked = [f"{section}.auto_batch=true" for section in sections]
    assert prospect.report(batches.check_pieces, *asked).errors == []
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert prospect.report(batches.check_pieces).errors == []
    errors = prospect.report(batches.check_pieces, *asked).errors
    assert [error.message.partition(".auto_batch: 2 processes ")[0] for error in errors] == list(sections)
    assert errors[0].remedy is not None and "Set train.auto_batch to false" in errors[0].remedy
