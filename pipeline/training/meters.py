"""Measured while training: the mean of each loss, where the time goes, and accuracy on validation."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from time import process_time
from typing import Any, TypeVar

import torch
from torch import Tensor

from exporters.benchmark.memory import peak_resident_bytes
from exporters.core.errors import GateError
from pipeline.distributed.collectives import averaged, process_count, summed
from pipeline.timing import OUTSIDE, PartTimer
from pipeline.training.non_finite import REMEDY, NameSamples, StepLosses, first_broken

PARTS = ("compile", "data", "views", "teacher", "clip", "cache", "forward", "backward", "optimizer", "evaluation",
         "checkpoint", OUTSIDE)  # fmt: skip
"""What the time of an epoch is divided into.

`compile`: compiling the network before the epoch, in the first epoch of each attempt. `data`: waiting for a batch, and
bringing it to the device. `views`: making the views of images. `teacher`: the visual teacher's network and the fusion
of its views. `clip`: CLIP's image tower. `cache`: reading and writing the teacher cache. `forward`, `backward`: the
student with its losses, and the gradients with their clipping. `optimizer`: the step, and the average of the weights.
`evaluation`: accuracy on validation images. `checkpoint`: checkpoints within the epoch. `other`: the rest.
"""

T = TypeVar("T")


class EpochMeters:
    """Losses and time of one epoch, summed on the device so that no step waits for it.

    Args:
        name: of the training, for messages.
        epoch: number of the epoch, from 0.
        timer: what the teacher marks its parts on; None: one of its own.
        names: of images, for messages; None: their positions.
        may_skip: batches that may still be left out.
    """

    def __init__(
        self,
        name: str,
        epoch: int,
        timer: PartTimer | None = None,
        names: NameSamples | None = None,
        may_skip: int = 0,
    ) -> None:
        self._timer = timer if timer is not None else PartTimer()
        self._name = name
        self._epoch = epoch
        self._steps = 0
        self._images = 0
        self._sums: dict[str, Tensor] = {}
        self._earlier: dict[str, float] = {}  # seconds of the attempts that were cut short
        self._cpu_before, self._cpu_began = 0.0, math.nan
        self._names = names or _by_number
        self._may_skip = may_skip
        self._recent: list[StepLosses] = []
        self._skipped: list[dict[str, Any]] = []
        self._said = 0

    def update(self, losses: Mapping[str, Tensor], images: int, step: int, indices: Tensor) -> None:
        """Count a step.

        Args:
            losses: 0-d tensors by name.
            images: in the batch, or in the pieces of it that count.
            step: number of the batch in the epoch, from 0.
            indices: int64 `[B]` on the CPU, which images the batch has.
        """
        self._recent.append(StepLosses(step, {name: loss.detach() for name, loss in losses.items()}, indices))
        self._steps += 1
        self._images += images
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss.detach().float()

    def skip(
        self, losses: Mapping[str, Tensor], images: int, step: int, indices: Tensor, what: str | None = None
    ) -> None:
        """Count a batch, or a piece of one, that is left out because it is not finite.

        Args:
            losses: 0-d tensors by name.
            images: that are left out.
            step: number of the batch in the epoch, from 0.
            indices: int64 `[B]` on the CPU, which images these are.
            what: is not finite; None: the losses that are not.

        Raises:
            GateError: so many may not be left out.
        """
        self._images += images
        found = StepLosses(step, {name: loss.detach() for name, loss in losses.items()}, indices)
        _, broken, told = first_broken([found], self._names) or (step, "sum", found.describe(self._names))
        what = what or broken
        self._skipped.append({"step": step + 1, "images": images, "what": what, "told": told})
        if len({each["step"] for each in self._skipped}) > self._may_skip:
            raise GateError(
                f"{self._name}: the {_kind(what)} is not finite at step {step + 1} of epoch {self._epoch + 1}, and as"
                f" many batches as max_skipped_batches allows were left out before: {told}",
                remedy=REMEDY,
            )

    def left_out(self) -> list[str]:
        """A line on each batch that was left out since this was last asked."""
        lines = [
            f"left out step {each['step']} of epoch {self._epoch + 1}, whose {_kind(each['what'])} is not finite:"
            f" {each['told']}"
            for each in self._skipped[self._said :]
        ]
        self._said = len(self._skipped)
        return lines

    def skipped(self, is_asked_for: bool) -> dict[str, Any]:
        """What was left out, for `metrics.jsonl`: `skipped_batches`, and where there are any, `skipped` lists them.

        Args:
            is_asked_for: whether batches may be left out; nothing is said else.

        Raises:
            GateError: nothing is left of the epoch.
        """
        if not is_asked_for:
            return {}
        if not self._steps:
            raise GateError(f"{self._name}: no batch of epoch {self._epoch + 1} is finite", remedy=REMEDY)
        listed = [{key: each[key] for key in ("step", "what", "told")} for each in self._skipped]
        return {"skipped_batches": len({each["step"] for each in listed}), **({"skipped": listed} if listed else {})}

    def skipped_images(self, begin: int) -> int:
        """How many images were left out from a step on, from 0."""
        return sum(each["images"] for each in self._skipped if each["step"] > begin)

    def losses(self) -> dict[str, float]:
        """Mean of each loss over the steps so far, as `loss_<name>`, and their sum as `loss`; NaN before the first.

        Raises:
            GateError: a loss is not finite; names it, with the step at which that began, all losses of that step and
                some of its images.
        """
        means = {name: (averaged(total) / self._steps).item() for name, total in self._sums.items()}
        if not all(math.isfinite(mean) for mean in means.values()):
            # From the next step on, the first loss to break has spoilt the weights for all the others.
            found = first_broken(self._recent, self._names)
            if found is None:
                raise GateError(f"{self._name}: the losses of epoch {self._epoch + 1} are too large", remedy=REMEDY)
            step, what, told = found
            raise GateError(
                f"{self._name}: the loss {what} is not finite at step {step + 1} of epoch {self._epoch + 1}: {told}",
                remedy=REMEDY,
            )
        self._recent.clear()
        if not means:
            return {"loss": math.nan}
        return {f"loss_{name}": mean for name, mean in means.items()} | {"loss": sum(means.values())}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint within the epoch: sums, counts and seconds so far.

        Raises:
            GateError: a loss is not finite; what it has spoilt is not to be saved.
        """
        self.losses()
        return {
            "steps": self._steps,
            "images": self._images,
            "sums": {name: value.cpu() for name, value in self._sums.items()},
            "skipped": self._skipped,
            "seconds": self._seconds(),
            "cpu_seconds": self._cpu_seconds(),
        }

    def load_state_dict(self, saved: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a `state_dict` of the same epoch, on a device."""
        self._steps, self._images = saved["steps"], saved["images"]
        self._sums = {name: value.to(device) for name, value in saved["sums"].items()}
        self._skipped = list(saved["skipped"])
        self._said = len(self._skipped)
        self._earlier, self._cpu_before = dict(saved["seconds"]), saved["cpu_seconds"]

    def _seconds(self, wait: bool = True) -> dict[str, float]:
        """Part → seconds of the epoch so far, by all attempts; see `PartTimer.seconds`."""
        now, earlier = self._timer.seconds(wait), self._earlier
        return {name: now.get(name, 0.0) + earlier.get(name, 0.0) for name in {**earlier, **now}}

    def _cpu_seconds(self) -> float:
        """Of all threads of this process in the epoch so far, by all attempts."""
        running = 0.0 if math.isnan(self._cpu_began) else process_time() - self._cpu_began
        return self._cpu_before + running

    @contextmanager
    def measured(self, device: torch.device) -> Iterator[None]:
        """The block of the epoch, in which time is measured."""
        self._cpu_began = process_time()
        try:
            with self._timer.measured(device):
                yield
        finally:
            self._cpu_before, self._cpu_began = self._cpu_seconds(), math.nan

    def add(self, part: str, seconds: float, cpu_seconds: float) -> None:
        """Count what was done for the epoch before it began, by wall clock and by all threads, for one of `PARTS`."""
        self._earlier = self._earlier | {part: self._earlier.get(part, 0.0) + seconds}
        self._cpu_before += cpu_seconds

    def part(self, name: str) -> AbstractContextManager[None]:
        """A block whose seconds count for one of `PARTS`; a block within another counts for itself alone."""
        return self._timer.part(name)

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, with the time until each one is there as `data`."""
        iterator, end = iter(batches), object()
        while True:
            with self.part("data"):
                batch = next(iterator, end)
            if batch is end:
                return
            yield batch  # type: ignore[misc]

    def speed(self, wait: bool = True) -> dict[str, float]:
        """Images trained on a second, and the percentage of the training's time that went into waiting for them;
        evaluation and compiling left out of both.

        Args:
            wait: for a GPU to end its work; else what it has done so far counts.
        """
        seconds = self._seconds(wait)
        training = max(sum(seconds.values()) - seconds.get("evaluation", 0.0) - seconds.get("compile", 0.0), 1e-9)
        return {
            "images_per_second": round(process_count() * self._images / training, 1),
            "waiting_for_data": round(100 * seconds.get("data", 0.0) / training, 1),
        }

    def time(self, device: torch.device) -> dict[str, Any]:
        """What an epoch's line in `metrics.jsonl` has as `time`: everything that differs between equal runs.

        Returns:
            `seconds` of the epoch with its evaluation and with compiling before it; `cpu_seconds`, those that the
            threads of this process computed, processes that decode images left out; `parts`, the seconds of each of
            `PARTS` that took some;
            `images_per_second` without evaluation and compiling; `waiting_for_data` in per cent of the same time;
            `peak_memory_bytes`, the most that this process has had resident so far, None where the system does not
            say; on CUDA `peak_gpu_memory_bytes`, the most that tensors have taken so far.
        """
        speed, seconds = self.speed(), self._seconds()
        measured: dict[str, Any] = {
            "seconds": round(sum(seconds.values()), 3),
            "cpu_seconds": round(self._cpu_seconds(), 3),
            "parts": {name: round(seconds[name], 3) for name in PARTS if name in seconds},
            **speed,
            "peak_memory_bytes": peak_resident_bytes(),
        }
        if device.type == "cuda":
            measured["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
        return measured


def _by_number(indices: Tensor) -> list[str]:
    return [f"number {index}" for index in indices.tolist()]


def _kind(what: str) -> str:
    return what if what in ("gradient", "sum") else f"loss {what}"


@torch.no_grad()
def accuracy(classifier: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Top-1 accuracy.

    Args:
        classifier: images `[B, 3, S, S]` in `[0, 1]` to scores `[B, K]`; of equal scores the first counts.
        batches: images, and labels `[B]` on the CPU; of several processes, each gives its part.
    """
    correct = total = 0
    for images, labels in batches:
        correct += int((classifier(images).argmax(dim=-1).cpu() == labels).sum())
        total += len(labels)
    counts = summed(torch.tensor([correct, total]))
    return int(counts[0]) / int(counts[1])
