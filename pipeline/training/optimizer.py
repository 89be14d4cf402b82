"""Optimizers by name, and the learning rate as a function of the step, so that a resumed run has nothing to restore."""

import math
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from pipeline.training.settings import FitSettings


# Other normalisation layers have one value a channel, which the shape tells.
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def make_optimizer(module: nn.Module, settings: "FitSettings") -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, with the recipe's numbers, over the trainable parameters of a module.

    Without `decays_norms_and_biases`, parameters that weight decay is not meant for are in a group of their own, with
    a decay of 0 (see `parameter_groups`). Where layers have rates of their own, or the head is trained alone at
    first, the groups are those of layers, with their factor of the learning rate as `lr_scale`; `module` is then a task
    whose `layers()` gives the layer groups of its network.
    """
    trainable: list[Any]
    layers = _layers(module, settings)
    if settings.decays_norms_and_biases and not layers:
        trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    else:
        exempt_decay = settings.weight_decay if settings.decays_norms_and_biases else 0.0
        trainable = parameter_groups(module, settings.weight_decay, exempt_decay, layers)
    # A fused optimizer undoes fp16's gradient scale within its step, which is too late for clipping.
    fused = settings.gradient_clip is None
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trainable, lr=settings.peak_lr, weight_decay=settings.weight_decay, fused=fused)
    return torch.optim.SGD(
        trainable,
        lr=settings.peak_lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


def parameter_groups(
    module: nn.Module,
    weight_decay: float,
    exempt_decay: float = 0.0,
    layers: Sequence[tuple[float, Iterable[nn.Parameter]]] = (),
) -> list[dict[str, Any]]:
    """The trainable parameters in groups for an optimizer: with weight decay and without, for each layer.

    Without are biases, whatever belongs to a normalisation layer, scalars and scales of one value a channel (CLIP's
    `logit_scale`, layer scale), and what a network names in `no_weight_decay()`, as those of timm and open_clip do for
    their position embeddings.

    Args:
        module: everything that is trained.
        weight_decay: of the first group of each layer.
        exempt_decay: of the second.
        layers: factor of the learning rate, and parameters; all of the module's together. Empty: one layer.

    Returns:
        Groups of PyTorch's optimizers, `params` in the module's order, with the factor as `lr_scale` where layers are
        given; a group without parameters is left out.
    """
    exempt = {id(parameter) for parameter in _exempt(module)}
    parts: list[tuple[dict[str, float], Iterable[nn.Parameter]]]
    parts = [({"lr_scale": factor}, parameters) for factor, parameters in layers] or [({}, module.parameters())]
    groups: list[dict[str, Any]] = []
    for scale, parameters in parts:
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        for is_exempt, decay in ((False, weight_decay), (True, exempt_decay)):
            params = [each for each in trainable if (id(each) in exempt) is is_exempt]
            groups.append({"params": params, "weight_decay": decay, **scale})
    return [group for group in groups if group["params"]]


def _layers(module: nn.Module, settings: "FitSettings") -> list[tuple[float, list[nn.Parameter]]]:
    """The layers with the factor of each one's learning rate; none where all are trained alike.

    `layer_decay^i` for the i-th layer group of the network from above, counted from 0; `head_lr` for everything else:
    the classifier, and what the method trains in addition.
    """
    head, decay = settings.rate_factors
    if head == decay == 1 and not settings.body_starts:
        return []
    groups: list[list[nn.Parameter]] = module.layers()  # type: ignore[operator]
    body = {parameter for group in groups for parameter in group}
    layers = [(decay**depth, group) for depth, group in enumerate(reversed(groups))]
    return [(head, [parameter for parameter in module.parameters() if parameter not in body]), *layers]


def _exempt(module: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters that weight decay is not meant for; one may come more than once."""
    for owner in module.modules():
        is_layer = isinstance(owner, nn.Linear | nn.modules.conv._ConvNd)
        for name, parameter in owner.named_parameters(recurse=False):
            sides = sum(side > 1 for side in parameter.shape)
            is_scale = parameter.ndim <= 1 or (sides <= 1 and not (is_layer and name == "weight"))
            if is_scale or name == "bias" or isinstance(owner, _NORMS):
                yield parameter
        named = getattr(owner, "no_weight_decay", None)
        if callable(named):
            patterns = tuple(named())  # such as `cls_token`, and `pos_embed.*` in some networks of timm
            for name, parameter in owner.named_parameters():
                if any(fnmatchcase(name, pattern) for pattern in patterns):
                    yield parameter


def learning_rate(settings: "FitSettings", step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step of the optimizer, counted from 0 over all epochs; `lr` is the settings' `peak_lr`.

    * `constant`: `lr`.
    * `milestones`: `lr · gamma^(number of milestones reached)`, milestones in epochs.
    * `cosine`: half a cosine from `lr` to 0 (Loshchilov and Hutter, 2017, without restarts).
    * `one_cycle`: a half cosine up from `lr/25` over the first 30 % of the steps, then one down to `lr/25e4`
      (Smith and Topin, 2018; at each step what PyTorch's `OneCycleLR` gives by default).

    `warmup` epochs rise linearly to the schedule's own value, for every kind but `one_cycle`, which has its own.

    While the head is trained alone (`body_starts`) the rate stays at `lr`, after the same warm-up; the schedule begins
    after these epochs, and its milestones count from the first epoch.
    """
    schedule = settings.schedule
    warmup = schedule.warmup * steps_per_epoch
    step_of_body = step - settings.body_starts * steps_per_epoch
    total = (settings.epochs - settings.body_starts) * steps_per_epoch
    if step_of_body < 0:
        return settings.peak_lr * (min(1.0, (step + 1) / warmup) if step < warmup else 1.0)
    if schedule.kind == "one_cycle":
        return settings.peak_lr * _one_cycle(step_of_body, total)
    factor = 1.0
    if schedule.kind == "milestones":
        factor = schedule.gamma ** sum(step // steps_per_epoch >= milestone for milestone in schedule.milestones)
    elif schedule.kind == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * step_of_body / total))
    if step_of_body < warmup:
        factor *= min(1.0, (step_of_body + 1) / warmup)
    return settings.peak_lr * factor


def _one_cycle(step: int, total: int, start: float = 1 / 25, end: float = 1 / 25e4) -> float:
    peak, last = 0.3 * total - 1, total - 1
    if step < peak:
        low, part = start, 1 - step / peak
    else:
        low, part = end, (step - peak) / (last - peak)
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part))
