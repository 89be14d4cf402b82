"""The one training loop: a teacher's fit, the text teacher's fit and the student's distillation all run through it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from exporters.core.errors import GateError
from pipeline.randomness import generator
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import computed_precision, seeded
from pipeline.training.optimizer import learning_rate, make_optimiser

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.data.loading import Batch
    from pipeline.training.settings import FitSettings


@dataclass(frozen=True)
class Step:
    """One batch on the device, and where training stands.

    Attributes:
        images: `[B, 3, S, S]`, float32 in `[0, 1]`, after augmentation and before any normalisation.
        labels: `[B]`, int64.
        indices: `[B]`, int64, the samples' positions in the training split.
        pass_: the pass over the data, from 0.
        passes: how many passes there will have been, with this step counted in as a fraction.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    pass_: int
    passes: float


@dataclass(frozen=True)
class Job:
    """What is trained and how.

    Attributes:
        name: for progress lines and for the metrics file.
        module: everything that is trained, in one module, so that a distributed wrapper sees every parameter.
        losses: the (wrapped) module and a `Step` to named scalar losses, whose sum is minimised.
        evaluate: the validation score that chooses the pass to keep, in `[0, 1]`.
        batches: the batches of a pass.
        steps_per_pass: how many those are.
        settings: epochs, optimiser and schedule.
        seed: of what must stay a state, such as drop-out.
    """

    name: str
    module: nn.Module
    losses: Callable[[nn.Module, Step], dict[str, Tensor]]
    evaluate: Callable[[], float]
    batches: Callable[[int], "Iterable[Batch]"]
    steps_per_pass: int
    settings: "FitSettings"
    seed: int


@dataclass(frozen=True)
class Fitted:
    """What training leaves behind.

    Attributes:
        chosen_pass: the pass with the best validation score, from 1; the earliest of equals.
        chosen_score: its score.
        chosen_state: the module's state after that pass, on the CPU.
        final_state: the module's state after the last pass, on the CPU.
        history: one mapping a pass: losses, score, learning rate, images per second.
        stopped_early: whether the schedule was left because the score no longer rose (`early_stop`).
    """

    chosen_pass: int
    chosen_score: float
    chosen_state: dict[str, Tensor]
    final_state: dict[str, Tensor]
    history: list[dict[str, float]]
    stopped_early: bool = False


def fit(
    job: Job,
    fabric: Fabric,
    checkpoint: Checkpoint,
    console: "Console",
    on_pass: Callable[[int, dict[str, float]], None] = lambda _pass, _metrics: None,
) -> Fitted:
    """Train, with a checkpoint after each pass, from where an earlier attempt stopped.

    With `early_stop`, training ends after so many passes without a better validation score. The learning rate follows
    the schedule of all `epochs` until then.

    Args:
        job: what is trained.
        fabric: device and precision.
        checkpoint: where the state is kept between passes; the caller removes it once its results are written.
        console: shows progress.
        on_pass: told the number of a finished pass, from 1, and its metrics.

    Raises:
        GateError: a loss is not finite.
    """
    # Drop-out and stochastic depth draw from PyTorch's own generators.
    with seeded(fabric.device, int(generator(job.seed, f"state of {job.name}").integers(2**63))):
        return _fit(job, fabric, checkpoint, console, on_pass)


def _fit(
    job: Job,
    fabric: Fabric,
    checkpoint: Checkpoint,
    console: "Console",
    on_pass: Callable[[int, dict[str, float]], None],
) -> Fitted:
    settings = job.settings
    module = job.module.to(fabric.device).to(memory_format=torch.channels_last)
    wrapped, optimiser = fabric.setup(module, make_optimiser(module, settings))
    state = _Progress()
    if (saved := checkpoint.load()) is not None:
        _restore(saved, module, optimiser, fabric, state)
        for row in state.history:  # a killed process may have saved a pass that it told nobody of
            on_pass(int(row["pass"]), row)
        console.say(f"{job.name}: going on after pass {len(state.history)} of {settings.epochs}")
        before, now = saved.get("computed_precision"), computed_precision(fabric)
        if before not in (None, now):
            console.warn(f"{job.name}: the passes so far were computed in {before}, those from here on in {now}")

    while (pass_ := len(state.history)) < settings.epochs and not _is_stuck(state, settings.early_stop):
        shown = {"top-1": state.history[-1]["validation_top1"]} if state.history else {}
        metrics = _train_pass(job, fabric, wrapped, optimiser, pass_, console, shown)
        score = job.evaluate()
        metrics |= {"pass": pass_ + 1, "validation_top1": score}
        state.history.append(metrics)
        if score > state.chosen_score or not state.chosen_state:
            state.chosen_pass, state.chosen_score, state.chosen_state = pass_ + 1, score, _cpu_state(module)
        checkpoint.save(_snapshot(module, optimiser, fabric, state))
        on_pass(pass_ + 1, metrics)
        console.epoch_done(job.name, pass_ + 1, settings.epochs, metrics)
    stopped_early = len(state.history) < settings.epochs
    if stopped_early:
        console.say(
            f"{job.name}: stopped after pass {len(state.history)} of {settings.epochs},"
            f" no better than pass {state.chosen_pass} for {settings.early_stop} passes"
        )
    final_state = _cpu_state(module)
    return Fitted(state.chosen_pass, state.chosen_score, state.chosen_state, final_state, state.history, stopped_early)


class _Progress:
    """What a resumed run must know of the passes before it."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.chosen_pass = 0
        self.chosen_score = -math.inf
        self.chosen_state: dict[str, Tensor] = {}


def _is_stuck(state: _Progress, early_stop: int | None) -> bool:
    """Whether so many passes have brought no better score: known from the saved state, so that a resumed run agrees."""
    return early_stop is not None and len(state.history) - state.chosen_pass >= early_stop


def _train_pass(
    job: Job,
    fabric: Fabric,
    wrapped: Any,
    optimiser: Any,
    pass_: int,
    console: "Console",
    shown: dict[str, float],
) -> dict[str, float]:
    """One pass; `shown` are figures for the bar besides the loss."""
    wrapped.train()
    sums: dict[str, Tensor] = {}
    finite: dict[str, Tensor] = {}
    seen = 0
    rate = 0.0
    with console.track(f"{job.name} {pass_ + 1}/{job.settings.epochs}", job.steps_per_pass) as bar:
        for number, batch in enumerate(job.batches(pass_)):
            rate = learning_rate(job.settings, pass_ * job.steps_per_pass + number, job.steps_per_pass)
            for group in optimiser.param_groups:
                group["lr"] = rate
            step = _to_device(batch, fabric, pass_, pass_ + (number + 1) / job.steps_per_pass)
            losses = job.losses(wrapped, step)
            total = torch.stack(list(losses.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(total)
            if job.settings.gradient_clip is not None:
                fabric.clip_gradients(wrapped, optimiser, max_norm=job.settings.gradient_clip)
            optimiser.step()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach().float()
                finite[name] = finite.get(name, 0) + sums[name].isfinite()
            seen += len(batch.labels)
            bar.advance()
            if (number + 1) % 20 == 0 or number + 1 == job.steps_per_pass:
                bar.show(loss=_mean_losses(sums, finite, number + 1, job.name, pass_)["loss"], **shown)
    metrics = _mean_losses(sums, finite, job.steps_per_pass, job.name, pass_)
    return metrics | {"lr": rate, "images_per_second": round(seen / max(bar.seconds, 1e-9), 1)}


def _to_device(batch: "Batch", fabric: Fabric, pass_: int, passes: float) -> Step:
    images = batch.images.to(fabric.device, non_blocking=True)
    return Step(
        images=images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last),
        labels=batch.labels.to(fabric.device, non_blocking=True),
        indices=batch.indices,
        pass_=pass_,
        passes=passes,
    )


def _mean_losses(
    sums: dict[str, Tensor], finite: dict[str, Tensor], steps: int, name: str, pass_: int
) -> dict[str, float]:
    """The means over the steps so far; `finite` counts the steps up to which each sum was finite."""
    means = {term: (value / steps).item() for term, value in sums.items()}
    if not all(math.isfinite(value) for value in means.values()):
        # The first to break is the one to blame: from the next step on, it has spoilt the weights for all.
        sound = {term: int(value) for term, value in finite.items()}
        first = min(sound.values())
        blamed = " and ".join(term for term, value in sound.items() if value == first)
        raise GateError(
            f"{name}: the loss {blamed} is not finite at step {first + 1} of pass {pass_ + 1}",
            remedy="Lower the learning rate or the weight of that loss, or set a gradient_clip; then run again.",
        )
    return {f"loss_{term}": value for term, value in means.items()} | {"loss": sum(means.values())}


def _cpu_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in module.state_dict().items()}


def _snapshot(module: nn.Module, optimiser: Any, fabric: Fabric, state: _Progress) -> dict[str, Any]:
    return {
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "precision": fabric.strategy.precision.state_dict(),
        "computed_precision": computed_precision(fabric),
        "random_state": torch.get_rng_state(),
        "random_state_cuda": torch.cuda.get_rng_state() if fabric.device.type == "cuda" else None,
        "history": state.history,
        "chosen_pass": state.chosen_pass,
        "chosen_score": state.chosen_score,
        "chosen_state": state.chosen_state,
    }


def _restore(saved: dict[str, Any], module: nn.Module, optimiser: Any, fabric: Fabric, state: _Progress) -> None:
    module.load_state_dict(saved["module"])
    optimiser.load_state_dict(saved["optimiser"])
    if saved["precision"]:  # only fp16 has a state, the scale of its losses; without one it starts at its default
        fabric.strategy.precision.load_state_dict(saved["precision"])
    torch.set_rng_state(saved["random_state"])
    if saved["random_state_cuda"] is not None and fabric.device.type == "cuda":
        torch.cuda.set_rng_state(saved["random_state_cuda"])
    state.history = saved["history"]
    state.chosen_pass = saved["chosen_pass"]
    state.chosen_score = saved["chosen_score"]
    state.chosen_state = saved["chosen_state"]
