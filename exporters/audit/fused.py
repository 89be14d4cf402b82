"""Proves each re-parameterized weight of a student from the student's own branches.

Where a block is a sum of convolutions and batch norms (RepVGG, MobileOne, large kernels of FastViT), its kernel and
bias are summed here in float64, independently of the code that fused them; any other fused block must give what the
student's block gives on random input.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.errors import GateError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from exporters.student.student import TrainedStudent

_TOLERANCE = 1e-6  # of the largest value; the fused weights are rounded to float32 once
_LEVELS = 2  # that are looked at around a layer
_SIDE = 16  # of the random input, wider than the kernels of such blocks


def fused_tensors(student: "TrainedStudent") -> dict[str, tuple[str, np.ndarray]]:
    """Name within the fused network to (origin, value), for what the student itself does not hold; {} without branches.

    Raises:
        GateError: a fused block is not the student's block.
    """
    from exporters.onnx.reparameterize import fuse_branches

    fused = fuse_branches(student).module
    if fused is student.module:
        return {}
    own = student.module.state_dict()
    found: dict[str, tuple[str, np.ndarray]] = {}
    proved: dict[str, str] = {}
    for name, value in fused.state_dict().items():
        if name in own and own[name].shape == value.shape and bool((own[name] == value).all()):
            continue
        leaf = name.rpartition(".")[0]
        if leaf not in proved:
            proved[leaf] = _prove(student.module, fused, leaf)
        found[name] = (f"re-parameterised {proved[leaf]}", value.cpu().numpy())
    return found


def _prove(module: "nn.Module", fused: "nn.Module", leaf: str) -> str:
    """The name of the student's block that the fused layer `leaf` replaces, once both are shown to be equal."""
    block = leaf
    blocks = {name for name, _ in module.named_modules()}
    while block not in blocks:
        block = block.rpartition(".")[0]
    layer = fused.get_submodule(leaf)
    # A layer that keeps its name absorbed its neighbours, such as a batch norm: then the block is one around it.
    around = [block, *itertools.islice(_parents(block), _LEVELS)]
    for name in around:
        if _is_sum(module.get_submodule(name), fused.get_submodule(name), layer, whole=name == leaf):
            return name
    raise GateError(f"the fused {leaf} is not what the student's branches in {block or 'the network'} add up to")


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _is_sum(block: "nn.Module", fused: "nn.Module", layer: "nn.Module", *, whole: bool) -> bool:
    """Whether the fused layer is what the block's branches add up to, or else the fused block the same function."""
    from torch import nn

    branches = [] if whole else list(_branches(block))
    if branches and isinstance(layer, nn.Conv2d) and layer.bias is not None and _fit(branches, layer):
        kernel, bias = _branch_sum(branches, layer)
        if _close(layer.weight, kernel) and _close(layer.bias, bias):
            return True
    return _same_function(block, fused, layer)


def _branches(block: "nn.Module") -> "Iterator[tuple[nn.Conv2d | None, nn.BatchNorm2d]]":
    """(convolution, batch norm) of each child that is just that; None in place of the convolution for an identity."""
    from torch import nn

    if any(True for _ in block.parameters(recurse=False)):
        return  # scaled by a parameter of its own
    found: list[tuple[nn.Conv2d | None, nn.BatchNorm2d]] = []
    children = [child for child in block.children() if any(True for _ in child.parameters())]
    parts = [part for child in children for part in (child if isinstance(child, nn.ModuleList) else [child])]
    for part in parts:
        layers = [layer for layer in part.modules() if any(True for _ in layer.parameters(recurse=False))]
        if len(layers) == 1 and isinstance(layers[0], nn.BatchNorm2d):
            found.append((None, layers[0]))
        elif len(layers) == 2 and isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], nn.BatchNorm2d):
            found.append((layers[0], layers[1]))
        elif any(isinstance(layer, nn.BatchNorm2d) for layer in layers):
            return  # a block within the block
        # What has no batch norm comes after the sum: attention, squeeze and excitation.
    yield from found


def _fit(branches: "list[tuple[nn.Conv2d | None, nn.BatchNorm2d]]", layer: "nn.Conv2d") -> bool:
    shape = layer.weight.shape
    return all(
        norm.num_features == shape[0]
        and (convolution is None or convolution.weight.shape[:2] == shape[:2])
        and (convolution is None or all(a <= b for a, b in zip(convolution.weight.shape, shape, strict=True)))
        for convolution, norm in branches
    )


def _branch_sum(
    branches: "list[tuple[nn.Conv2d | None, nn.BatchNorm2d]]", layer: "nn.Conv2d"
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `[out, in / groups, k, k]` and bias `[out]` of the sum, in float64."""
    shape = tuple(layer.weight.shape)
    kernel, bias = np.zeros(shape), np.zeros(shape[0])
    for convolution, norm in branches:
        mean, variance = _double(norm.running_mean), _double(norm.running_var)
        scale = _double(norm.weight) / np.sqrt(variance + norm.eps)
        bias += _double(norm.bias) - mean * scale
        if convolution is None:
            channels = np.arange(shape[0])
            kernel[channels, channels % shape[1], shape[2] // 2, shape[3] // 2] += scale
            continue
        weight = _double(convolution.weight) * scale[:, None, None, None]
        top, left = ((shape[axis] - weight.shape[axis]) // 2 for axis in (2, 3))
        kernel[:, :, top : top + weight.shape[2], left : left + weight.shape[3]] += weight
        if convolution.bias is not None:
            bias += _double(convolution.bias) * scale
    return kernel, bias


def _same_function(block: "nn.Module", fused: "nn.Module", layer: "nn.Module") -> bool:
    import torch
    from torch import nn

    random = torch.Generator().manual_seed(0)
    channels = getattr(layer, "in_channels", None) or getattr(layer, "in_features", None)
    if channels is None:
        return False
    # A linear layer may be one of tokens.
    shapes: list[tuple[int, ...]] = [(8, channels), (8, _SIDE, channels)]
    if isinstance(layer, nn.Conv2d):
        shapes = [(8, channels, _SIDE, _SIDE)]
    for shape in shapes:
        noise = torch.randn(shape, generator=random, dtype=torch.float64)
        try:
            with torch.no_grad():
                before, after = (copy.deepcopy(part).double().eval()(noise) for part in (block, fused))
        except (IndexError, RuntimeError, TypeError, ValueError):  # a block of another input
            continue
        if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
            return False
        return before.shape == after.shape and _close(after, before.numpy())
    return False


def _double(value: "torch.Tensor | None") -> np.ndarray:
    assert value is not None
    array: np.ndarray = value.detach().cpu().double().numpy()
    return array


def _close(value: "torch.Tensor", expected: np.ndarray) -> bool:
    found = _double(value)
    if found.shape != expected.shape or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return False
    return bool((np.abs(found - expected) <= np.abs(expected).max() * _TOLERANCE).all())
