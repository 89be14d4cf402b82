"""The exponential moving average of the weights (Polyak and Juditsky 1992), which is validated, chosen and shipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class WeightAverage:
    """Averages of a module's parameters, and of the running statistics of its batch norms.

    After step t, counted from 1, each average is `d·average + (1 - d)·weight` with `d = min(decay, (1 + t)/(10 + t))`,
    so that the first weights are soon forgotten and short trainings have averages over a part of their steps. Running
    statistics are averaged like the weights that they were measured under; other buffers are left to the module.

    Args:
        module: what is trained, on its device.
        decay: in (0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        self._live = dict(module.named_parameters())
        for name, owner in module.named_modules():
            if isinstance(owner, _NormBase):
                buffers = owner.named_buffers(prefix=name, recurse=False)
                self._live |= {key: buffer for key, buffer in buffers if buffer.is_floating_point()}  # type: ignore[misc]
        self._averages = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Count a step."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, average in self._averages.items():
            average.lerp_(self._live[name], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages in the place of the module's weights; afterwards these are back, to the bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, average in self._averages.items():
            weight = self._live[name].detach().clone()
            self._live[name].copy_(average)
            average.copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the averages, and the number of steps."""
        return {"averages": self._averages, "steps": self._steps}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a `state_dict` of the same module."""
        averages: dict[str, Tensor] = saved["averages"]
        for name, average in self._averages.items():
            average.copy_(averages[name])
        self._steps = saved["steps"]
