"""Weights with NaN or infinite values are refused where they are loaded: one rule for every kind of file.

torch is imported when a file is read, not before.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.errors import UnavailableError
from exporters.core.wording import first_of

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMED = 5
"""Tensors or keys that a message names; the others are counted."""


def non_finite(state: "Mapping[str, Tensor]") -> list[str]:
    """The names of the floating-point tensors that hold a NaN or an infinite value, in their order."""
    return [name for name, value in state.items() if not _is_finite(value)]


def require_finite(state: "Mapping[str, Tensor]", name: str, allowed: Collection[str] = ()) -> None:
    """Refuse weights that are NaN or infinite.

    Args:
        state: tensors by name.
        name: what messages call the state, such as the file's path.
        allowed: tensors that may hold such values: masks of attention, and what a method marks as unknown by NaN.

    Raises:
        UnavailableError: a tensor has such values; the message names the first five.
    """
    broken = [key for key in non_finite(state) if key not in allowed]
    if broken:
        raise UnavailableError(
            f"{name}: holds values that are NaN or infinite: {first_of(broken, NAMED, clauses=True)}",
            remedy="The training that wrote it had diverged, or the file is damaged; take an earlier checkpoint.",
        )


def attention_masks(network: "nn.Module") -> set[str]:
    """Names of the buffers of a network that are masks of attention: of two or more axes, each value 0 or -inf."""
    parameters = {name for name, _ in network.named_parameters()}
    return {
        name
        for name, value in network.state_dict().items()
        if name not in parameters and value.ndim > 1 and bool(((value == 0) | (value == -float("inf"))).all())
    }


def read_safetensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file that a stage has written, on the CPU.

    Raises:
        UnavailableError: a tensor holds values that are NaN or infinite; the message names it.
    """
    from safetensors.torch import load_file

    state: dict[str, Tensor] = load_file(path)
    require_finite(state, str(path))
    return state


def _is_finite(value: "Tensor") -> bool:
    import torch

    if not (value.is_floating_point() or value.is_complex()):
        return True
    if value.element_size() == 1:  # torch.isfinite knows no type of 8 bits
        value = value.float()
    return bool(torch.isfinite(value).all())
