"""A training whose batches do not fit into the device's memory: the error that says what does, or smaller pieces."""

import gc
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from torch import nn

from exporters.core.errors import UnavailableError
from exporters.core.out_of_memory import is_out_of_memory
from exporters.core.wording import count_of
from pipeline.distributed.collectives import process_count
from pipeline.training.device import describe_device
from pipeline.training.meters import EpochMeters
from pipeline.training.settings import NetworkFitSettings
from pipeline.training.step import Training, pieces_of, step_inputs

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.data.loading import Batch


class Beginning:
    """The state of a task before it is trained, on the CPU, and which of its parameters are trained."""

    def __init__(self, task: nn.Module) -> None:
        self._task = task
        self._state = {name: value.detach().cpu().clone() for name, value in task.state_dict().items()}
        self._trained = [parameter for parameter in task.parameters() if parameter.requires_grad]

    def restore(self) -> None:
        """Bring it back."""
        self._task.load_state_dict(self._state)
        for parameter in self._trained:
            parameter.requires_grad_(True)


def in_smaller_pieces(training: Training, fabric: Fabric, reason: str, console: "Console") -> Training:
    """The same training with each batch in twice as many pieces, after memory ran out.

    Args:
        training: as it did not fit; what it holds on the device besides its task was let go.
        fabric: device and precision.
        reason: in the words of the library.
        console: is told.

    Raises:
        UnavailableError: pieces are not asked for, or cannot be smaller; or several processes train together, which
            would have to agree while some of them wait for others. Says what is likely to fit.
    """
    _release(training, fabric)
    settings, share = training.settings, training.settings.batch_size // process_count()
    pieces = min(2 * training.pieces, share // 2)
    at_once = -(-share // training.pieces)
    what = f"{training.name}: out of memory on {describe_device(fabric)} with {count_of(at_once, 'image')} at once"
    if not settings.auto_batch or process_count() > 1:
        raise UnavailableError(f"{what}: {reason}", remedy=_remedy(training, fabric, share))
    if pieces <= training.pieces:
        raise UnavailableError(
            f"{what}, and pieces of a batch are not smaller: {reason}",
            remedy="Use smaller images (data.image_size) or a smaller network.",
        )
    console.warn(
        f"{what} ({reason}); each batch is divided into {pieces} pieces from here on (auto_batch), with as many images"
        " a step"
    )
    return replace(training, pieces=pieces)


def _remedy(training: Training, fabric: Fabric, share: int) -> str:
    """What is likely to fit: tried, or half of the batch where several processes cannot try alone."""
    fits = share // 2
    if process_count() == 1:
        with suppress(Exception):  # what else goes wrong in the trial is not what the user has to hear of
            fits = largest_fitting(training, fabric)
    if not fits:
        return "Not even two images at once fit: use smaller images (data.image_size) or a smaller network."
    settings = training.settings
    size = fits * process_count()
    advice = f"A batch_size of {size} is likely to fit"
    if isinstance(settings, NetworkFitSettings):
        accumulate = -(-settings.images_per_update // size)
        advice += f", with accumulate {accumulate} for as many images a step"
    return advice + (", or set auto_batch to true." if process_count() == 1 else ".")


def largest_fitting(training: Training, fabric: Fabric) -> int:
    """How many images of a batch fit: the largest of 1/2, 1/4, … whose forward and backward pass runs; 0 for none.

    The first batch of the training is tried. The task is left in a state of its own, and without gradients.
    """
    batches = training.loader.training_batches(
        training.augmentation, training.settings.batch_size, training.seed, 0, drop_last=True, device=fabric.device
    )
    batch = next(iter(batches))
    tried, count = len(batch.labels), 2
    while len((piece := pieces_of(batch, count)[0]).labels) < tried:
        tried = len(piece.labels)
        if _fits(training, fabric, piece):
            return tried
        count *= 2
    return 0


def _fits(training: Training, fabric: Fabric, piece: "Batch") -> bool:
    """Whether a forward and a backward pass over some images fit into memory."""
    task = training.task.train()
    states = 2 if training.settings.optimizer == "adamw" else 1
    try:
        # Room for what the optimizer keeps of each parameter, which it makes in its first step.
        _kept = [torch.empty_like(each) for each in task.parameters() if each.requires_grad for _ in range(states)]
        samples, pixels, labels, guidance = step_inputs(training, fabric, piece, 0, EpochMeters(training.name, 0))
        with fabric.autocast():
            losses = task(pixels, labels, guidance, 1.0, samples)
        total = torch.stack(list(losses.values())).sum()
        if total.requires_grad:
            total.backward()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    else:
        fits = True
    _release(training, fabric)
    return fits


def _release(training: Training, fabric: Fabric) -> None:
    """Let go of gradients, and of memory that PyTorch keeps for later."""
    for parameter in training.task.parameters():
        parameter.grad = None
    gc.collect()
    if fabric.device.type == "cuda":
        torch.cuda.empty_cache()
