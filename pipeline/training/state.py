"""The state of a training: all that it must know to go on, in the same process or another, as if it had never stopped.

Draws about data are functions of seed, epoch and image (`pipeline.randomness`), and need no state.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from exporters.core.errors import UnavailableError
from pipeline.distributed.collectives import of_all, process_count, process_number
from pipeline.training.averaging import WeightAverage
from pipeline.training.device import computed_precision

if TYPE_CHECKING:
    from pipeline.training.meters import EpochMeters


@dataclass
class Progress:
    """How far a training is, besides weights, optimizer and generators.

    Attributes:
        history: one mapping for each finished epoch.
        chosen_epoch: the best so far, from 1; 0 before the first.
        chosen_score: its validation score.
        chosen_state: the task's state after it, on the CPU.
        step: batches of the present epoch that are done.
        meters: of these batches; None where there are none.
        pieces: into which each batch is divided (`auto_batch`).
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    chosen_epoch: int = 0
    chosen_score: float = -math.inf
    chosen_state: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    meters: dict[str, Any] | None = None
    pieces: int = 1

    @property
    def place(self) -> tuple[int, int]:
        """Finished epochs, and batches of the present one."""
        return len(self.history), self.step


@dataclass(frozen=True)
class Trained:
    """What has a state while it is trained.

    Attributes:
        task: what is trained, not wrapped.
        optimizer: as wrapped by Fabric.
        fabric: device and precision, which has the scale of fp16's losses.
        average: of the weights, where there is one.
    """

    task: nn.Module
    optimizer: Any
    fabric: Fabric
    average: WeightAverage | None

    def state_dict(self, progress: Progress, meters: "EpochMeters | None" = None) -> dict[str, Any]:
        """What a checkpoint holds; asked of all processes that train together, and the same in each.

        Args:
            progress: so far.
            meters: of the present epoch, within one.
        """
        several = process_count() > 1
        return {
            "module": self.task.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "computed_precision": computed_precision(self.fabric),
            "random_states": of_all(_random_state(self.fabric.device)),  # each process has its own drop-out
            # Within an epoch, each process has the running statistics of the images that it saw.
            "statistics": of_all(self._statistics()) if several and meters is not None else None,
            "history": progress.history,
            "chosen_epoch": progress.chosen_epoch,
            "chosen_score": progress.chosen_score,
            "chosen_state": progress.chosen_state,
            "step": progress.step,
            "pieces": progress.pieces,
            "meters": None if meters is None else of_all(meters.state_dict()),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> Progress:
        """Go on from a `state_dict`; gives the progress that it was taken at."""
        self.task.load_state_dict(saved["module"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        if saved["precision"]:  # only fp16 has a state; without one it starts at its default
            self.fabric.strategy.precision.load_state_dict(saved["precision"])
        number, count = process_number(), len(saved["random_states"])
        if number < count:  # else there were fewer processes, and this one is new
            cpu, cuda = saved["random_states"][number]
            torch.set_rng_state(cpu)
            if cuda is not None and self.fabric.device.type == "cuda":
                torch.cuda.set_rng_state(cuda)
        if saved["statistics"] is not None and number < count:
            for target, values in zip(self._statistics(), saved["statistics"][number], strict=True):
                target.copy_(values)
        meters = saved["meters"]
        return Progress(
            # Checkpoints of earlier versions call an epoch a pass.
            history=[{"epoch" if key == "pass" else key: row[key] for key in row} for row in saved["history"]],
            chosen_epoch=saved["chosen_epoch"],
            chosen_score=saved["chosen_score"],
            chosen_state=saved["chosen_state"],
            step=saved["step"],
            pieces=saved["pieces"],
            meters=None if meters is None else meters[number % len(meters)],
        )

    def _statistics(self) -> list[Tensor]:
        """The running statistics of batch norms, and their averages; as they are, no copies."""
        norms = {name: module for name, module in self.task.named_modules() if isinstance(module, _NormBase)}
        found = {f"{name}.{key}": value for name, norm in norms.items() for key, value in norm.named_buffers()}
        averages = {} if self.average is None else self.average.state_dict()["averages"]
        return [*found.values(), *(averages[name] for name in found if name in averages)]


def check_agreement(name: str, saved: dict[str, Any] | None) -> None:
    """Refuse to go on where the processes have not read the same checkpoint.

    Args:
        name: of the training, for the message.
        saved: what this process has read.

    Raises:
        UnavailableError: they do not share a disk.
    """
    places = of_all((0, 0) if saved is None else (len(saved["history"]), saved["step"]))
    if len(set(places)) > 1:
        first, last = (f"epoch {epochs}" + (f" and {step} steps" if step else "") for epochs, step in
                       (min(places), max(places)))  # fmt: skip
        raise UnavailableError(
            f"{name}: the processes resume after different epochs, {first} and {last}",
            remedy="They do not read the same files: choose a --run-dir on a disk that all machines share.",
        )


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Of PyTorch's generator on the CPU, and of that on this GPU."""
    return torch.get_rng_state(), torch.cuda.get_rng_state() if device.type == "cuda" else None
