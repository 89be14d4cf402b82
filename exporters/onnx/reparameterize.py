"""Training-time branches fused into single convolutions before the export: RepVGG, MobileOne, FastViT, RepViT, ….

Ding et al., "RepVGG: Making VGG-style ConvNets Great Again" (CVPR 2021), section 3.3. The sums are timm's own, done
in float64 here, so that each weight is rounded once.
"""

import copy
import dataclasses

import torch
from torch import nn

from exporters.core.errors import GateError, UnavailableError
from exporters.student.student import TrainedStudent

MAX_SCALED_ERROR = 1e-5
"""Between the student and its fused form, relative to the largest logit."""

_FUSING_METHODS = ("fuse", "reparameterize", "switch_to_deploy")
_IMAGES = 4


def has_branches(module: nn.Module) -> bool:
    """Whether the network brings blocks that can be fused."""
    return any(callable(getattr(part, name, None)) for part in module.modules() for name in _FUSING_METHODS)


def fuse_branches(student: TrainedStudent) -> TrainedStudent:
    """The student with its training-time branches fused, or the same object where it has none.

    Args:
        student: in eval mode, fp32, on the CPU; not changed.

    Returns:
        The same function of an image: compared on images of noise, in float64.

    Raises:
        UnavailableError: the network's own code cannot fuse it.
        GateError: the fused network is another function, as where a block is fused wrongly.
    """
    if not has_branches(student.module):
        return student
    fused = _fused(student)
    before, after = (_logits(module, student.preprocessing.size) for module in (student.module, fused))
    scale = float(before.abs().max()) or 1.0
    error = float((before - after).abs().max()) / scale if before.shape == after.shape else float("inf")
    if not error < MAX_SCALED_ERROR:
        raise GateError(
            f"{student.architecture.name} with its branches fused is another network: error {error:.2g} of the logits'"
            f" scale, allowed {MAX_SCALED_ERROR:g}"
        )
    return dataclasses.replace(student, module=fused)


def _fused(student: TrainedStudent) -> nn.Module:
    from timm.utils import reparameterize_model

    try:
        with torch.no_grad():
            fused = reparameterize_model(copy.deepcopy(student.module).double(), inplace=True)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).split("\n")[0][:200]
        raise UnavailableError(
            f"{student.architecture.name}: its training-time branches cannot be fused: {reason}"
        ) from error
    return fused.float().eval().requires_grad_(False)


def _logits(module: nn.Module, size: int) -> torch.Tensor:
    # A generator of its own leaves the state of the global one unchanged.
    noise = torch.randn(_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        logits: torch.Tensor = copy.deepcopy(module).double()(noise)
    return logits
