"""Losses and weights that are not finite: named where they end a training, and left out where that is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from exporters.core.errors import GateError
from exporters.core.wording import first_of
from exporters.student.finite import non_finite
from pipeline.distributed.collectives import of_all, process_count, summed

NAMED = 5
"""Images of a batch that a message names; the others are counted."""

NameSamples = Callable[[Tensor], Sequence[str]]
"""Positions in the training split, int64 `[n]` on the CPU → how people know these images."""

REMEDY = (
    "Lower the learning rate or the weight of that loss, or set a gradient_clip; where a few images are the cause,"
    " on_nan: skip_batch goes on without their batches. Then run again."
)


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step, which may still be being computed.

    Attributes:
        step: number of the batch in the epoch, from 0.
        losses: 0-d tensors by name, without gradient.
        indices: int64 `[B]` on the CPU, which images they are of.
    """

    step: int
    losses: Mapping[str, Tensor]
    indices: Tensor

    def broken(self) -> list[str]:
        """The losses that are not finite; waits for the device."""
        return non_finite(self.losses)

    def describe(self, names: NameSamples) -> str:
        """The value of each loss and some of the images: `ce 0.531, contrast nan; images a.jpg, b.jpg and 62 more`."""
        values = ", ".join(f"{name} {float(value):.4g}" for name, value in self.losses.items())
        return f"{values}; images {', '.join(named(self.indices, names))}"


def named(indices: Tensor, names: NameSamples) -> list[str]:
    """The first images of a batch by name, and how many more there are."""
    more = len(indices) - NAMED
    return [*names(indices[:NAMED]), *([f"and {more} more"] if more > 0 else [])]


def first_broken(recent: Sequence[StepLosses], names: NameSamples) -> tuple[int, str, str] | None:
    """The first of some steps with a loss that is not finite, in any of the processes that train together.

    Returns:
        Its number from 0, the names of those losses, and what `StepLosses.describe` says; None where there is none.
    """
    mine = next((step for step in recent if step.broken()), None)
    found = of_all(None if mine is None else (mine.step, " and ".join(mine.broken()), mine.describe(names)))
    return min((each for each in found if each is not None), default=None)


def finite_everywhere(value: Tensor) -> bool:
    """Whether a 0-d tensor is finite in all processes that train together; waits for the device."""
    return not bool(summed((~value.detach().isfinite()).to(torch.int32).reshape(1)))


def require_finite_weights(name: str, epoch: int, module: nn.Module, allowed: Sequence[str]) -> None:
    """Refuse weights that a step has spoilt after the last loss was computed: they would be saved, and resumed from.

    Args:
        name: of the training.
        epoch: that ends, from 1.
        module: all that is trained.
        allowed: names of tensors that were not finite at the beginning, such as a normaliser that is not known yet.

    Raises:
        GateError: a tensor holds NaN or infinite values, in any process; names the first five.
    """
    broken = [key for key in non_finite(module.state_dict()) if key not in allowed]
    everywhere = [lines for lines in of_all(broken) if lines]
    if everywhere:
        raise GateError(
            f"{name}: weights are NaN or infinite after epoch {epoch}, so training has diverged:"
            f" {first_of(everywhere[0], NAMED, clauses=True)}",
            remedy="Lower the learning rate, or set a gradient_clip; then run again.",
        )


def rising_loss(history: Sequence[Mapping[str, Any]]) -> str | None:
    """What is wrong with the cross-entropy of the last epoch; None where all is well, or it was said before.

    Where it is above that of the first epoch, and above twice the lowest, steps are too large.

    Args:
        history: one mapping for each epoch so far, with `loss_ce` where there is one.
    """
    losses = [row["loss_ce"] for row in history if "loss_ce" in row]

    def has_risen(epochs: int) -> bool:
        known = losses[:epochs]
        return len(known) > 1 and known[-1] > max(known[0], 2 * min(known))

    if not has_risen(len(losses)) or has_risen(len(losses) - 1):
        return None
    return (
        f"the cross-entropy rises, to {losses[-1]:.3f} from {min(losses):.3f}: training diverges;"
        " a lower learning rate or a gradient_clip helps"
    )


def skipped_batches(history: Sequence[Mapping[str, Any]]) -> int:
    """Batches that were left out in the epochs of a training so far."""
    return sum(row.get("skipped_batches", 0) for row in history)


class NormStatistics:
    """The running statistics of a module's batch norms, kept to be brought back after a batch that does not count."""

    def __init__(self, module: nn.Module) -> None:
        norms = [each for each in module.modules() if isinstance(each, _NormBase)]
        self._buffers = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers(recurse=False)]

    @torch.no_grad()
    def restore(self) -> None:
        """Bring back the values of the time when this was made."""
        for buffer, before in self._buffers:
            buffer.copy_(before)


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Give all processes the mean of their gradients, which a backward pass has left each its own.

    Args:
        parameters: the same in each process; one without gradient in some of them counts there as zero.
    """
    if process_count() == 1:
        return
    if not parameters:
        return
    present = summed(torch.tensor([each.grad is not None for each in parameters], device=parameters[0].device).int())
    for parameter, count in zip(parameters, present.tolist(), strict=True):
        if count:
            gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            parameter.grad = summed(gradient) / process_count()
