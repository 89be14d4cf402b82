"""Optimisers by name, and the learning rate as a function of the step, so that a resumed run has nothing to restore."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from pipeline.recipe.schema import FitSettings


def make_optimiser(parameters: Iterable[nn.Parameter], settings: "FitSettings") -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, with the recipe's numbers."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    # A fused optimiser undoes fp16's gradient scale within its step, which is too late for clipping.
    fused = settings.gradient_clip is None
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trainable, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)
    return torch.optim.SGD(
        trainable,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


def learning_rate(settings: "FitSettings", step: int, steps_per_pass: int) -> float:
    """The learning rate of a step, counted from 0 over all passes.

    * `constant`: `lr`.
    * `milestones`: `lr · gamma^(number of milestones reached)`, milestones in passes.
    * `cosine`: half a cosine from `lr` to 0 (Loshchilov and Hutter, 2017, without restarts).
    * `one_cycle`: a half cosine up from `lr/25` over the first 30 % of the steps, then one down to `lr/25e4`
      (Smith and Topin, 2018; at each step what PyTorch's `OneCycleLR` gives by default).

    `warmup` passes rise linearly to the schedule's own value, for every kind but `one_cycle`, which has its own.
    """
    schedule = settings.schedule
    total = settings.epochs * steps_per_pass
    if schedule.kind == "one_cycle":
        return settings.lr * _one_cycle(step, total)
    factor = 1.0
    if schedule.kind == "milestones":
        factor = schedule.gamma ** sum(step // steps_per_pass >= milestone for milestone in schedule.milestones)
    elif schedule.kind == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * step / total))
    warmup = schedule.warmup * steps_per_pass
    if step < warmup:
        factor *= min(1.0, (step + 1) / warmup)
    return settings.lr * factor


def _one_cycle(step: int, total: int, start: float = 1 / 25, end: float = 1 / 25e4) -> float:
    peak, last = 0.3 * total - 1, total - 1
    if step < peak:
        low, part = start, 1 - step / peak
    else:
        low, part = end, (step - peak) / (last - peak)
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part))
