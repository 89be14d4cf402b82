"""Weights as after a training, in seconds.

Freshly initialised networks tell little about precision: their norms do nothing, and their logits hardly differ between
images, so that any rounding changes the most likely class.
"""

import numpy as np
import torch
from torch import Tensor, nn

from exporters.images.preprocessing import Preprocessing

_BATCH = 32
_RATE = 2e-3
_HEAD_STEPS = 200
_HEAD_RATE = 0.01

BatchNorm = nn.modules.batchnorm._BatchNorm


def train_like(
    module: nn.Module, images: np.ndarray, labels: np.ndarray, preprocessing: Preprocessing, *, steps: int
) -> nn.Module:
    """Random norms and a short training, half of it with disturbed statistics; then the classifier alone is fitted.

    1. Scales and shifts of all norms are drawn (.5 to 1.5, deviation .3), and so are layer scales (.2 to 1).
    2. Half of the steps, AdamW on 32 images each; statistics of batch norms are those of the batch.
    3. Statistics of batch norms are averaged over all images; means are moved by a tenth of the deviation and variances
       multiplied by .8 to 1.25, all at random. No layer then has a mean of 0 and a variance of 1, which hide faults.
    4. The other half of the steps, with these statistics.
    5. The classifier is fitted to the features of all images.

    Args:
        module: freshly built; changed and returned, in eval mode.
        images, labels: uint8 `[N, S, S, 3]`, `[N]`.
    """
    random = torch.Generator().manual_seed(3)
    _draw_norms(module, random)
    inputs, targets = _normalised(images, preprocessing), torch.from_numpy(labels)
    module.train()
    for part in module.modules():
        if "Drop" in type(part).__name__ or "StochasticDepth" in type(part).__name__:
            part.training = False  # not what it holds
    norms = [part for part in module.modules() if isinstance(part, BatchNorm)]
    _train(module, inputs, targets, steps // 2, random)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over the batches
    with torch.no_grad():
        for batch in inputs.split(2 * _BATCH):
            module(batch)
        for norm in norms:
            _disturb(norm, random)
            norm.eval()
    _train(module, inputs, targets, steps - steps // 2, random)
    module.eval()
    _fit_classifier(module, inputs, targets)
    return module


def _draw_norms(module: nn.Module, random: torch.Generator) -> None:
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, BatchNorm | nn.LayerNorm | nn.GroupNorm) and part.weight is not None:
                part.weight.uniform_(0.5, 1.5, generator=random)
                part.bias.normal_(0, 0.3, generator=random)
        for name, parameter in module.named_parameters():
            if name.endswith("gamma"):  # a layer's scale, which starts near 0
                parameter.uniform_(0.2, 1, generator=random)


def _normalised(images: np.ndarray, preprocessing: Preprocessing) -> Tensor:
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (preprocessing.mean, preprocessing.std))
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std


def _train(module: nn.Module, inputs: Tensor, targets: Tensor, steps: int, random: torch.Generator) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), _RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (_BATCH,), generator=random)
        loss = nn.functional.cross_entropy(module(inputs[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _disturb(norm: BatchNorm, random: torch.Generator) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    noise = torch.randn(norm.running_mean.shape, generator=random)
    norm.running_mean += 0.1 * norm.running_var.sqrt() * noise
    norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25, generator=random)


def _fit_classifier(module: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Cross-entropy on the inputs of the last layer, which stay the same; one of 1x1 convolutions is pooled."""
    layer, seen = _last_layer(module, inputs)
    optimizer = torch.optim.AdamW(layer.parameters(), _HEAD_RATE, weight_decay=0.01)
    for _ in range(_HEAD_STEPS):
        logits = layer(seen)
        logits = logits if logits.ndim == 2 else logits.relu().mean((2, 3))
        loss = nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _last_layer(module: nn.Module, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """The layer with weights that is called last, and its inputs."""
    calls: list[tuple[nn.Module, Tensor]] = []

    def note(part: nn.Module, given: tuple[Tensor, ...], _output: Tensor) -> None:
        calls.append((part, given[0]))

    layers = [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    hooks = [part.register_forward_hook(note) for part in layers]
    seen = []
    with torch.no_grad():
        for batch in inputs.split(2 * _BATCH):
            calls.clear()
            module(batch)
            seen.append(calls[-1][1])
    for hook in hooks:
        hook.remove()
    return calls[-1][0], torch.cat(seen)
