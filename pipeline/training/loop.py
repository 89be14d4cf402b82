"""The loop over epochs: validation, checkpoints and early stop, the same for teachers and students.

What happens within an epoch to one batch is `pipeline.training.step.train_step`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from exporters.core.interrupts import interrupts_deferred
from exporters.core.out_of_memory import describe_out_of_memory, is_out_of_memory
from exporters.core.wording import count_of, was_or_were
from exporters.student.finite import non_finite, require_finite
from pipeline.distributed.collectives import average_statistics, process_count, process_number, this_part
from pipeline.randomness import generator
from pipeline.training.averaging import WeightAverage
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.compilation import Compiling, compiled
from pipeline.training.device import computed_precision, distributed_task, seeded
from pipeline.training.memory_limit import Beginning, in_smaller_pieces
from pipeline.training.meters import EpochMeters, accuracy
from pipeline.training.non_finite import require_finite_weights, rising_loss, skipped_batches
from pipeline.training.optimizer import learning_rate, make_optimizer
from pipeline.training.preparation import prepared
from pipeline.training.running_statistics import describe_misfit, momenta_chosen
from pipeline.training.saving import Saver
from pipeline.training.state import Progress, Trained, check_agreement
from pipeline.training.step import Training, images_to_device, pieces_of, train_step

if TYPE_CHECKING:
    from pipeline.console import Console

LogMetrics = Callable[[int, dict[str, Any]], None]

_REPEATED_SECONDS = 2.0
"""In which a process that another one has started is told twice: by the terminal, and by that one."""


class _Interrupted(Exception):
    """Validation was left because of a signal."""


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


def fit(
    training: Training,
    fabric: Fabric,
    checkpoint: Checkpoint,
    console: "Console",
    log_metrics: LogMetrics = lambda _epoch, _metrics: None,
) -> Fitted:
    """Train, from where an earlier attempt stopped; the state is saved after each epoch and, where asked for, within.

    Where the settings ask for averaged weights (`ema`), these are what is validated, chosen and returned.

    With `early_stop`, training ends after so many epochs without a better validation score. The learning rate follows
    the schedule of all `epochs` until then.

    A signal that asks the process to end waits for the end of the step, whose state is saved; a second one does not.

    Args:
        training: what is trained and how.
        fabric: device and precision.
        checkpoint: where the state is kept; the caller removes it once its results are written.
        console: shows progress.
        log_metrics: called with the number of a finished epoch, from 1, and its metrics. After an interruption it is
            called for the earlier epochs again, because the process may have ended before it could log the last one.

    Raises:
        GateError: a loss is not finite, more batches were left out than `max_skipped_batches`, or an epoch has left
            weights that are not finite.
        UnavailableError: the device's memory ran out; says what is likely to fit.
        KeyboardInterrupt: a signal asked for the end; `Terminated` for SIGTERM and SIGHUP.
    """
    task = prepared(training.task, fabric.device)
    beginning = Beginning(task) if training.settings.auto_batch else None
    while True:
        try:
            # Drop-out and stochastic depth draw from PyTorch's own generators.
            with (
                seeded(fabric.device, int(_state_stream(training).integers(2**63))),
                momenta_chosen(training),  # before the network is compiled
                _compiled(training, fabric, console) if training.settings.compiles else nullcontext(None) as compiling,
            ):
                return _fit(training, fabric, checkpoint, console, log_metrics, compiling)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = describe_out_of_memory(error)
        # Here, where the error no longer holds what was on the device.
        training = in_smaller_pieces(training, fabric, reason, console)
        if beginning is not None:
            beginning.restore()


def _state_stream(training: Training) -> np.random.Generator:
    """Of the seed of drop-out, which each of several processes has for itself."""
    return generator(training.seed, f"state of {training.name}", index=process_number())


def _fit(
    training: Training,
    fabric: Fabric,
    checkpoint: Checkpoint,
    console: "Console",
    log_metrics: LogMetrics,
    compiling: Compiling | None,
) -> Fitted:
    settings = training.settings
    task: Any = training.task
    model, optimizer = fabric.setup(
        distributed_task(task, settings.synchronises_batch_norms), make_optimizer(task, settings)
    )
    average = WeightAverage(task, settings.ema) if settings.ema is not None else None
    trained = Trained(task, optimizer, fabric, average)
    groups = task.layers() if settings.body_starts else []  # type: ignore[operator]
    body = [each for group in groups for each in group if each.requires_grad]
    unknown = non_finite(task.state_dict())
    state = _resumed(training, trained, checkpoint, console, unknown)
    training = replace(training, pieces=max(training.pieces, state.pieces))
    state.pieces = training.pieces
    for metrics in state.history:
        log_metrics(int(metrics["epoch"]), metrics)
    repeats = _REPEATED_SECONDS if process_count() > 1 else 0.0
    with interrupts_deferred(repeats) as interrupt:
        saver = Saver(training, trained, state, checkpoint, interrupt, console)
        while (epoch := len(state.history)) < settings.epochs and not _is_stuck(state, settings.early_stop):
            for parameter in body:
                parameter.requires_grad_(epoch >= settings.body_starts)
            may_skip = settings.max_skipped_batches - skipped_batches(state.history)
            timer = getattr(training.teacher, "timer", None)
            meters = EpochMeters(training.name, epoch, timer, training.names, may_skip)
            if state.meters is not None:
                meters.load_state_dict(state.meters, fabric.device)
                state.meters = None
            if compiling is not None:
                meters.add("compile", compiling.seconds, compiling.cpu_seconds)
                compiling = None
            with meters.measured(fabric.device):
                metrics = _train_epoch(training, trained, model, meters, console, state, saver)
                average_statistics(task)
                require_finite_weights(training.name, epoch + 1, task, unknown)
                try:
                    with _averaged(average), meters.part("evaluation"):
                        if average is not None:  # its statistics are others than those of the weights that train on
                            average_statistics(task)
                        score = _validate(training, fabric, saver)
                        metrics |= {"epoch": epoch + 1, "validation_top1": score}
                        state.history.append(metrics)
                        if score > state.chosen_score or not state.chosen_state:
                            state.chosen_epoch, state.chosen_score = epoch + 1, score
                            state.chosen_state = _cpu_state(task)
                except _Interrupted:
                    saver.after_step(training.steps_per_epoch, meters)
            metrics["time"] = meters.time(fabric.device)
            state.step = 0
            saver.after_epoch()
            log_metrics(epoch + 1, metrics)
            console.epoch_done(training.name, epoch + 1, settings.epochs, metrics)
            if (rises := rising_loss(state.history)) is not None:
                console.warn(f"{training.name}: {rises}")
            saver.end_if_asked()
    stopped_early = len(state.history) < settings.epochs
    if stopped_early:
        console.say(
            f"{training.name}: stopped after epoch {len(state.history)} of {settings.epochs},"
            f" no better than epoch {state.chosen_epoch} for {settings.early_stop} epochs"
        )
    if skipped := skipped_batches(state.history):
        console.warn(
            f"{training.name}: {count_of(skipped, 'batch', 'batches')} {was_or_were(skipped)} left out, not being"
            " finite (on_nan: skip_batch); metrics.jsonl lists them"
        )
    with _averaged(average):
        final_state = _cpu_state(task)
        if misfit := describe_misfit(training, fabric, state.history[-1]):
            console.warn(f"{training.name}: {misfit}")
    return Fitted(state.chosen_epoch, state.chosen_score, state.chosen_state, final_state, state.history, stopped_early)


def _resumed(
    training: Training, trained: Trained, checkpoint: Checkpoint, console: "Console", unknown: Sequence[str]
) -> Progress:
    """The progress of an earlier attempt, whose state is restored; or that of a training that begins.

    Raises:
        UnavailableError: the processes read different checkpoints, or a tensor is not finite that is none of `unknown`.
    """
    saved = checkpoint.load(console.warn)
    check_agreement(training.name, saved)
    if saved is None:
        return Progress()
    require_finite(saved["module"], str(checkpoint.path), unknown)
    state = trained.load_state_dict(saved)
    epochs, step = state.place
    within = f", {step} of {training.steps_per_epoch} steps into the next" if step else ""
    console.say(f"{training.name}: resuming after epoch {epochs} of {training.settings.epochs}{within}")
    before, now = saved.get("computed_precision"), computed_precision(trained.fabric)
    if before not in (None, now):
        console.warn(f"{training.name}: the epochs so far were computed in {before}, the remaining ones in {now}")
    return state


def _compiled(training: Training, fabric: Fabric, console: "Console") -> AbstractContextManager[Compiling]:
    """The student compiled, for batches of the size of each process's share."""
    task: Any = training.task
    share = -(-training.settings.batch_size // process_count() // training.pieces)
    side = training.augmentation.geometry.size
    images = torch.zeros(share, 3, side, side, device=fabric.device).contiguous(memory_format=torch.channels_last)
    graphs = training.settings.replays_graphs
    return compiled(task.train().student, images, console, training.name, fabric.autocast, cuda_graphs=graphs)


def _averaged(average: WeightAverage | None) -> AbstractContextManager[None]:
    """The averaged weights in place, where there are any."""
    return nullcontext() if average is None else average.applied()


def _is_stuck(state: Progress, early_stop: int | None) -> bool:
    """Whether so many epochs have brought no better score: known from the saved state, so a resumed run agrees."""
    return early_stop is not None and len(state.history) - state.chosen_epoch >= early_stop


def _train_epoch(
    training: Training,
    trained: Trained,
    model: Any,
    meters: EpochMeters,
    console: "Console",
    state: Progress,
    saver: Saver,
) -> dict[str, Any]:
    """Train the batches of the present epoch that are not done yet; gives its losses."""
    settings, steps, fabric = training.settings, training.steps_per_epoch, trained.fabric
    epoch, begin = state.place
    figures = {"top-1 %": 100 * state.history[-1]["validation_top1"]} if state.history else {}
    later = (settings.epochs - epoch - 1) * steps
    batches = training.loader.training_batches(
        training.augmentation,
        settings.batch_size,
        training.seed,
        epoch,
        drop_last=True,
        device=fabric.device,
        part=this_part(),
        done=begin,
    )
    model.train()
    with console.track(f"{training.name} {epoch + 1}/{settings.epochs}", steps, later=later) as bar:
        bar.begin_at(begin)
        for step, batch in enumerate(meters.waiting(batches), begin):
            train_step(training, fabric, model, trained.optimizer, batch, epoch, step, meters, trained.average)
            for line in meters.left_out():
                console.warn(f"{training.name}: {line}")
            bar.advance()
            if (step + 1) % 20 == 0 or step + 1 == steps:
                bar.show(**{"loss": meters.losses()["loss"]} | figures | _speed(meters))
            if (step + 1) % settings.batches_per_update == 0 or step + 1 == steps:
                saver.after_step(step + 1, meters)
    metrics = meters.losses() | meters.skipped(settings.skips_batches)
    if training.pieces > 1:
        metrics["pieces"] = training.pieces
    updates = training.updates_per_epoch
    rate = learning_rate(settings, epoch * updates + updates - 1, updates)
    return metrics | training.task.metrics() | {"lr": rate}


def _speed(meters: EpochMeters) -> dict[str, float]:
    """How fast the epoch goes so far, for the bar."""
    speed = meters.speed(wait=False)
    return {"images/s": speed["images_per_second"], "waiting for data %": speed["waiting_for_data"]}


def _validate(training: Training, fabric: Fabric, saver: Saver) -> float:
    """Accuracy of the task on plain validation images.

    Raises:
        _Interrupted: this process, which trains alone, is asked to end.
    """
    training.task.eval()
    batches = training.loader.evaluation_batches("validation", training.augmentation.geometry, part=this_part())
    with torch.no_grad():
        classifier = training.task.classifier()

    def on_device() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches:
            if saver.is_interrupted and process_count() == 1:  # several could not agree on where to stop
                raise _Interrupted
            for piece in pieces_of(batch, training.pieces):
                yield images_to_device(piece.images, fabric.device), piece.labels

    return accuracy(classifier, on_device())


def _cpu_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()}
