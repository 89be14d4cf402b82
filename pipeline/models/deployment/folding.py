"""Batch norms folded into the convolutions before them, for networks that are never trained again.

Pairs are found by running images through the network, not by its source: a batch norm whose input is the output of a
convolution, of which nothing else is made. Each is proven on numbers before it is taken.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_MAX_ERROR = 1e-4
"""Between a folded convolution and the pair, relative to the largest value: far above what rounding does, far below
what a convolution with other weights than its own would do (weight standardisation)."""


@dataclass(eq=False)
class _Convolved:
    """What one call of a convolution took and gave."""

    name: str
    module: nn.Conv2d
    taken: Tensor
    given: Tensor


def fold_batch_norms(network: nn.Module, images: Tensor) -> int:
    """Fold batch norms into convolutions, in place; hooks on them stay.

    Args:
        network: in eval mode.
        images: what it takes, a batch of any size; no two need be alike.

    Returns:
        How many batch norms there are no more.
    """
    pairs, uses, calls = _find_pairs(network, images)
    folded = 0
    for convolution, norm in pairs:
        if uses[convolution] != 1 or calls[convolution] != 1 or calls[norm] != 1:
            continue
        _fold(network, convolution, norm)
        folded += 1
    return folded


def _find_pairs(network: nn.Module, images: Tensor) -> tuple[list[tuple[str, str]], dict[str, int], dict[str, int]]:
    """Pairs by name; how many modules take each convolution's output; how often each module is called."""
    convolved: dict[int, _Convolved] = {}
    pairs: list[tuple[str, str]] = []
    uses: dict[str, int] = {}
    calls: dict[str, int] = {}

    def taken(name: str, module: nn.Module, inputs: tuple[object, ...]) -> None:
        calls[name] = calls.get(name, 0) + 1
        for value in inputs:
            before = convolved.get(id(value))
            if before is not None:  # containers too: a block may add what it takes to what it gives
                uses[before.name] = uses.get(before.name, 0) + 1

    def given(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            return
        if isinstance(module, nn.Conv2d):
            convolved[id(output)] = _Convolved(name, module, inputs[0], output)
        elif isinstance(module, nn.BatchNorm2d) and (before := convolved.get(id(inputs[0]))):
            pairs.extend([(before.name, name)] if _same(before, module, output) else [])

    modules = [(name, module) for name, module in network.named_modules() if name]
    handles = []
    try:
        for name, module in modules:
            handles.append(module.register_forward_pre_hook(lambda m, i, name=name: taken(name, m, i), prepend=True))
            # First of all: what other hooks, and the modules behind, do in place has not been done yet.
            handles.append(module.register_forward_hook(lambda m, i, o, name=name: given(name, m, i, o), prepend=True))
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return pairs, uses, calls


def _folded_weights(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """`W·s` and `(b - mean)·s + shift` with `s = scale / sqrt(variance + eps)`, in float64 and rounded once."""
    assert norm.running_mean is not None and norm.running_var is not None
    weight, mean, variance = (
        value.detach().double() for value in (convolution.weight, norm.running_mean, norm.running_var)
    )
    scale = (variance + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight.detach().double())
    bias = -mean if convolution.bias is None else convolution.bias.detach().double() - mean
    shift = 0.0 if norm.bias is None else norm.bias.detach().double()
    dtype = convolution.weight.dtype
    return (weight * scale.view(-1, 1, 1, 1)).to(dtype), (bias * scale + shift).to(dtype)


def _same(before: _Convolved, norm: nn.BatchNorm2d, expected: Tensor) -> bool:
    """Whether the pair folds: with its own padding, activation and drop-out, it gives what it gave."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return False
    trial = copy.copy(before.module)
    trial._parameters, trial._forward_hooks, trial._forward_pre_hooks = dict(trial._parameters), {}, {}  # type: ignore[assignment]
    weight, bias = _folded_weights(before.module, norm)
    trial._parameters["weight"], trial._parameters["bias"] = (
        nn.Parameter(values, requires_grad=False) for values in (weight, bias)
    )
    with torch.no_grad():
        found = _rest(norm)(trial(before.taken))
    error = (found - expected).abs().max() / expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return bool(error <= _MAX_ERROR)


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    before, after = network.get_submodule(convolution), network.get_submodule(norm)
    assert isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
    weight, bias = _folded_weights(before, after)
    before.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    before.bias = nn.Parameter(bias, requires_grad=False)
    rest = _rest(after)
    # Hooks that take what the network gives at this place go with it.
    rest._forward_hooks, rest._forward_pre_hooks = after._forward_hooks, after._forward_pre_hooks
    parent, _, name = norm.rpartition(".")
    setattr(network.get_submodule(parent), name, rest)


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    """What a batch norm does besides: in timm it has the activation, and what drops parts of maps, in it."""
    parts = [part for part in norm.children() if not isinstance(part, nn.Identity)]
    return (nn.Sequential(*parts) if parts else nn.Identity()).eval()
