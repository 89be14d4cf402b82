"""One forward pass of random images with every module's call recorded: where the logits and their features are."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exporters.student.trial import try_network


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module: its name, the shapes of the first map that it took and of what it gave, and the map."""

    name: str
    taken: tuple[int, ...]
    shape: tuple[int, ...]
    map: Tensor | None


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a forward pass showed.

    Attributes:
        logits: `[2, K]`.
        calls: of all modules that gave a tensor, in the order in which they ended.
        classifiers: the name and the input `[2, C]` of each linear layer whose output is the logits, in order.
    """

    logits: Tensor
    calls: list[Call]
    classifiers: list[tuple[str, Tensor]]


def record_calls(network: nn.Module, size: int, called: str, *, remedy: str) -> Recorded:
    """Run two random images through a network, which stays as it is.

    Args:
        network: maps normalised images `[B, 3, S, S]` to logits `[B, K]`.
        size: S.
        called, remedy: of the error, as `try_network` takes them.

    Raises:
        UsageError, UnavailableError: as `try_network`.
    """
    calls: list[Call] = []
    linears: list[tuple[str, Tensor, Tensor]] = []

    def record(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if not isinstance(output, Tensor):
            return
        # Adaptive pooling ends the maps: what it gives has a size of its own choice.
        if name and not isinstance(module, nn.AdaptiveAvgPool2d):
            taken = next((tuple(x.shape) for x in inputs if isinstance(x, Tensor) and x.ndim == 4), ())
            calls.append(Call(name, taken, tuple(output.shape), output if output.ndim == 4 else None))
        if isinstance(module, nn.Linear) and output.ndim == 2 and inputs and isinstance(inputs[0], Tensor):
            linears.append((name, inputs[0], output))

    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: record(name, m, i, o))
        for name, module in network.named_modules()
    ]
    try:
        logits = try_network(network, size, called, remedy=remedy)
    finally:
        for handle in handles:
            handle.remove()
    classifiers = [
        (name, features)
        for name, features, output in linears
        if output.shape == logits.shape and torch.equal(output, logits)
    ]
    return Recorded(logits, calls, classifiers)


def pooled_map(calls: list[Call], features: Tensor) -> Call | None:
    """The latest map with an extent whose spatial mean is the classifier's input.

    A map of 1×1 stands behind the pooling (mobilenet_v3, convnext) or is too small to hold class activation maps.
    """
    tolerance = 1e-4 * features.abs().max().item() + 1e-7
    for call in reversed(calls):
        if call.map is None or call.shape[1] != features.shape[1] or call.shape[2] * call.shape[3] == 1:
            continue
        if (call.map.mean(dim=(2, 3)) - features).abs().max().item() <= tolerance:
            return call
    return None
