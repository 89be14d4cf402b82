"""Measured while training: the mean of each loss, images per second, and accuracy on validation."""

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from exporters.core.errors import GateError


class EpochMeters:
    """Means of the losses over one epoch, summed on the device so that no step waits for it.

    Args:
        name: of the training, for messages.
        epoch: number of the epoch, from 0.
    """

    def __init__(self, name: str, epoch: int) -> None:
        self._name = name
        self._epoch = epoch
        self._steps = 0
        self._images = 0
        self._sums: dict[str, Tensor] = {}
        self._finite_steps: dict[str, Tensor] = {}

    def update(self, losses: Mapping[str, Tensor], images: int) -> None:
        """Count a step.

        Args:
            losses: 0-d tensors by name.
            images: in the batch.
        """
        self._steps += 1
        self._images += images
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss.detach().float()
            self._finite_steps[name] = self._finite_steps.get(name, 0) + self._sums[name].isfinite()

    def losses(self) -> dict[str, float]:
        """Mean of each loss over the steps so far, as `loss_<name>`, and their sum as `loss`.

        Raises:
            GateError: a loss is not finite; names it, with the step at which that began.
        """
        means = {name: (total / self._steps).item() for name, total in self._sums.items()}
        if not all(math.isfinite(mean) for mean in means.values()):
            # From the next step on, the first loss to break has spoilt the weights for all the others.
            finite = {name: int(steps) for name, steps in self._finite_steps.items()}
            first = min(finite.values())
            broken = " and ".join(name for name, steps in finite.items() if steps == first)
            raise GateError(
                f"{self._name}: the loss {broken} is not finite at step {first + 1} of epoch {self._epoch + 1}",
                remedy="Lower the learning rate or the weight of that loss, or set a gradient_clip; then run again.",
            )
        return {f"loss_{name}": mean for name, mean in means.items()} | {"loss": sum(means.values())}

    def images_per_second(self, seconds: float) -> float:
        """Images of the steps so far over the seconds that they took."""
        return round(self._images / max(seconds, 1e-9), 1)


@torch.no_grad()
def accuracy(classifier: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Top-1 accuracy.

    Args:
        classifier: images `[B, 3, S, S]` in `[0, 1]` to scores `[B, K]`; of equal scores the first counts.
        batches: images, and labels `[B]` on the CPU.
    """
    correct = total = 0
    for images, labels in batches:
        correct += int((classifier(images).argmax(dim=-1).cpu() == labels).sum())
        total += len(labels)
    return correct / total
