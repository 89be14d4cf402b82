"""The loop over epochs: validation, checkpoints and early stop, the same for teachers and students.

What happens within an epoch to one batch is `pipeline.training.step.train_step`.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from pipeline.distributed.collectives import average_statistics, of_all, process_count, process_number, this_part
from pipeline.randomness import generator
from pipeline.training.averaging import WeightAverage
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.compilation import compiled
from pipeline.training.device import computed_precision, distributed_task, seeded
from pipeline.training.meters import EpochMeters, accuracy
from pipeline.training.optimizer import learning_rate, make_optimizer
from pipeline.training.preparation import prepared
from pipeline.training.step import Training, images_to_device, train_step

if TYPE_CHECKING:
    from pipeline.console import Console

LogMetrics = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True)
class Fitted:
    """The result of a training.

    Attributes:
        chosen_epoch: the epoch with the best validation score, from 1; the earliest of equals.
        chosen_score: its score.
        chosen_state: the task's state after that epoch, on the CPU.
        final_state: the task's state after the last epoch, on the CPU.
        history: one mapping an epoch: losses, score, learning rate, and as `time` what `EpochMeters.time` gives.
        stopped_early: whether training ended because the score no longer rose (`early_stop`).
    """

    chosen_epoch: int
    chosen_score: float
    chosen_state: dict[str, Tensor]
    final_state: dict[str, Tensor]
    history: list[dict[str, Any]]
    stopped_early: bool = False


@dataclass
class _State:
    """What a resumed training must know of the epochs before it, besides weights, optimizer and generators."""

    history: list[dict[str, Any]] = field(default_factory=list)
    chosen_epoch: int = 0
    chosen_score: float = -math.inf
    chosen_state: dict[str, Tensor] = field(default_factory=dict)


def fit(
    training: Training,
    fabric: Fabric,
    checkpoint: Checkpoint,
    console: "Console",
    log_metrics: LogMetrics = lambda _epoch, _metrics: None,
) -> Fitted:
    """Train, with a checkpoint after each epoch, from where an earlier attempt stopped.

    Where the settings ask for averaged weights (`ema`), these are what is validated, chosen and returned.

    With `early_stop`, training ends after so many epochs without a better validation score. The learning rate follows
    the schedule of all `epochs` until then.

    Args:
        training: what is trained and how.
        fabric: device and precision.
        checkpoint: where the state is kept between epochs; the caller removes it once its results are written.
        console: shows progress.
        log_metrics: called with the number of a finished epoch, from 1, and its metrics. After an interruption it is
            called for the earlier epochs again, because the process may have ended before it could log the last one.

    Raises:
        GateError: a loss is not finite.
    """
    # Drop-out and stochastic depth draw from PyTorch's own generators.
    prepared(training.task, fabric.device)
    with (
        seeded(fabric.device, int(_state_stream(training).integers(2**63))),
        _compiled(training, fabric, console) if training.settings.compiles else nullcontext(),
    ):
        return _fit(training, fabric, checkpoint, console, log_metrics)


def _state_stream(training: Training) -> np.random.Generator:
    """Of the seed of drop-out, which each of several processes has for itself."""
    return generator(training.seed, f"state of {training.name}", index=process_number())


def _fit(
    training: Training, fabric: Fabric, checkpoint: Checkpoint, console: "Console", log_metrics: LogMetrics
) -> Fitted:
    settings = training.settings
    task: Any = training.task
    model, optimizer = fabric.setup(
        distributed_task(task, settings.synchronises_batch_norms), make_optimizer(task, settings)
    )
    average = WeightAverage(task, settings.ema) if settings.ema is not None else None
    groups = task.layers() if settings.body_starts else []  # type: ignore[operator]
    body = [each for group in groups for each in group if each.requires_grad]
    state = _State()
    saved = checkpoint.load()
    _check_agreement(training.name, saved)
    if saved is not None:
        _restore(saved, task, optimizer, fabric, state, average)
        for metrics in state.history:
            log_metrics(int(metrics["epoch"]), metrics)
        console.say(f"{training.name}: resuming after epoch {len(state.history)} of {settings.epochs}")
        before, now = saved.get("computed_precision"), computed_precision(fabric)
        if before not in (None, now):
            console.warn(f"{training.name}: the epochs so far were computed in {before}, the remaining ones in {now}")

    while (epoch := len(state.history)) < settings.epochs and not _is_stuck(state, settings.early_stop):
        for parameter in body:
            parameter.requires_grad_(epoch >= settings.body_starts)
        meters = EpochMeters(training.name, epoch, getattr(training.teacher, "timer", None))
        with meters.measured(fabric.device):
            metrics = _train_epoch(training, fabric, model, optimizer, epoch, meters, console, state.history, average)
            average_statistics(task)
            with _averaged(average), meters.part("evaluation"):
                if average is not None:  # its statistics are others than those of the weights that go on training
                    average_statistics(task)
                score = _validate(training, fabric)
                metrics |= {"epoch": epoch + 1, "validation_top1": score}
                state.history.append(metrics)
                if score > state.chosen_score or not state.chosen_state:
                    state.chosen_epoch, state.chosen_score, state.chosen_state = epoch + 1, score, _cpu_state(task)
        metrics["time"] = meters.time(fabric.device)
        snapshot = _snapshot(task, optimizer, fabric, state, average)
        if process_number() == 0:
            checkpoint.save(snapshot)
        log_metrics(epoch + 1, metrics)
        console.epoch_done(training.name, epoch + 1, settings.epochs, metrics)
    stopped_early = len(state.history) < settings.epochs
    if stopped_early:
        console.say(
            f"{training.name}: stopped after epoch {len(state.history)} of {settings.epochs},"
            f" no better than epoch {state.chosen_epoch} for {settings.early_stop} epochs"
        )
    with _averaged(average):
        final_state = _cpu_state(task)
    return Fitted(state.chosen_epoch, state.chosen_score, state.chosen_state, final_state, state.history, stopped_early)


def _compiled(training: Training, fabric: Fabric, console: "Console") -> AbstractContextManager[None]:
    """The student compiled, for batches of the size of each process's share."""
    task: Any = training.task
    share, side = training.settings.batch_size // process_count(), training.augmentation.geometry.size
    images = torch.zeros(share, 3, side, side, device=fabric.device).contiguous(memory_format=torch.channels_last)
    return compiled(task.train().student, images, console, training.name, fabric.autocast)


def _averaged(average: WeightAverage | None) -> AbstractContextManager[None]:
    """The averaged weights in place, where there are any."""
    return nullcontext() if average is None else average.applied()


def _is_stuck(state: _State, early_stop: int | None) -> bool:
    """Whether so many epochs have brought no better score: known from the saved state, so a resumed run agrees."""
    return early_stop is not None and len(state.history) - state.chosen_epoch >= early_stop


def _train_epoch(
    training: Training,
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    epoch: int,
    meters: EpochMeters,
    console: "Console",
    history: list[dict[str, Any]],
    average: WeightAverage | None,
) -> dict[str, Any]:
    settings, steps = training.settings, training.steps_per_epoch
    figures = {"top-1": history[-1]["validation_top1"]} if history else {}
    batches = training.loader.training_batches(
        training.augmentation,
        settings.batch_size,
        training.seed,
        epoch,
        drop_last=True,
        device=fabric.device,
        part=this_part(),
    )
    model.train()
    with console.track(f"{training.name} {epoch + 1}/{settings.epochs}", steps) as bar:
        for step, batch in enumerate(meters.waiting(batches)):
            train_step(training, fabric, model, optimizer, batch, epoch, step, meters, average)
            bar.advance()
            if (step + 1) % 20 == 0 or step + 1 == steps:
                bar.show(loss=meters.losses()["loss"], **figures, **_speed(meters))
    metrics = meters.losses()
    updates = training.updates_per_epoch
    rate = learning_rate(settings, epoch * updates + updates - 1, updates)
    return metrics | training.task.metrics() | {"lr": rate}


def _speed(meters: EpochMeters) -> dict[str, float]:
    """How fast the epoch goes so far, for the bar."""
    speed = meters.speed(wait=False)
    return {"images/s": speed["images_per_second"], "waiting %": speed["waiting_for_data"]}


def _validate(training: Training, fabric: Fabric) -> float:
    """Accuracy of the task on plain validation images."""
    training.task.eval()
    batches = training.loader.evaluation_batches("validation", training.augmentation.geometry, part=this_part())
    with torch.no_grad():
        classifier = training.task.classifier()
    on_device = ((images_to_device(batch.images, fabric.device), batch.labels) for batch in batches)
    return accuracy(classifier, on_device)


def _cpu_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()}


def _snapshot(
    task: nn.Module, optimizer: Any, fabric: Fabric, state: _State, average: WeightAverage | None
) -> dict[str, Any]:
    return {
        "module": task.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": None if average is None else average.state_dict(),
        "precision": fabric.strategy.precision.state_dict(),
        "computed_precision": computed_precision(fabric),
        "random_states": of_all(_random_state(fabric.device)),  # each process has its own drop-out
        "history": state.history,
        "chosen_epoch": state.chosen_epoch,
        "chosen_score": state.chosen_score,
        "chosen_state": state.chosen_state,
    }


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Of PyTorch's generator on the CPU, and of that on this GPU."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if device.type == "cuda" else None


def _check_agreement(name: str, saved: dict[str, Any] | None) -> None:
    """Refuse to go on where the processes have not read the same checkpoint.

    Raises:
        UnavailableError: they do not share a disk.
    """
    epochs = of_all(0 if saved is None else len(saved["history"]))
    if len(set(epochs)) > 1:
        raise UnavailableError(
            f"{name}: the processes resume after different epochs, {min(epochs)} and {max(epochs)}",
            remedy="They do not read the same files: choose a --run-dir on a disk that all machines share.",
        )


def _restore(
    saved: dict[str, Any],
    task: nn.Module,
    optimizer: Any,
    fabric: Fabric,
    state: _State,
    average: WeightAverage | None,
) -> None:
    task.load_state_dict(saved["module"])
    optimizer.load_state_dict(saved["optimizer"])
    if average is not None:
        average.load_state_dict(saved["average"])
    if saved["precision"]:  # only fp16 has a state, the scale of its losses; without one it starts at its default
        fabric.strategy.precision.load_state_dict(saved["precision"])
    if process_number() < len(saved["random_states"]):  # else there were fewer processes, and this one is new
        cpu, cuda = saved["random_states"][process_number()]
        torch.set_rng_state(cpu)
        if cuda is not None and fabric.device.type == "cuda":
            torch.cuda.set_rng_state(cuda)
    # Checkpoints of earlier versions call an epoch a pass.
    state.history = [{"epoch" if key == "pass" else key: row[key] for key in row} for row in saved["history"]]
    state.chosen_epoch = saved["chosen_epoch"]
    state.chosen_score = saved["chosen_score"]
    state.chosen_state = saved["chosen_state"]
