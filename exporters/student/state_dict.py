"""What fits a network of a checkpoint's tensors, and loading it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.student.architectures import Architecture

AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""Heads that help while these of torchvision are trained from scratch; ours are built without them."""

_IGNORABLE = ("num_batches_tracked",)


def without_auxiliary_heads(
    state: dict[str, Tensor], network: nn.Module, architecture: Architecture
) -> dict[str, Tensor]:
    """The state without the auxiliary heads of torchvision's Inceptions, unless the network was built with them."""
    heads = AUXILIARY_HEADS.get(architecture.name, ()) if architecture.source == "torchvision" else ()
    heads = tuple(head for head in heads if getattr(network, head[:-1], None) is None)
    return {key: value for key, value in state.items() if not key.startswith(heads)} if heads else state


def fit_state(
    network: nn.Module,
    state: dict[str, Tensor],
    name: str,
    *,
    replace_head: bool,
    remedy: str,
    reason: str | None = None,
) -> bool:
    """Load a state into a network, in place; nothing is changed unless all of it fits.

    Args:
        network: as `exporters.student.architectures.build` gives it.
        state: what `exporters.student.key_order.with_own_keys` gave; counters of batch norms may be missing or
            too many.
        name: what messages call the state.
        replace_head: allow a classifier of another number of classes to stay at its initialisation.
        remedy: what a user can do where it does not fit.
        reason: why keys that are not the network's could not be mapped, for the message.

    Returns:
        Whether the classifier was left so.

    Raises:
        UnavailableError: keys are missing, unexpected or of another shape (the first five are told), or values are NaN
            or infinite.
    """
    own = network.state_dict()
    differing = [key for key in own if key in state and own[key].shape != state[key].shape]
    missing = [key for key in own if key not in state and not key.endswith(_IGNORABLE)]
    unexpected = [key for key in state if key not in own and not key.endswith(_IGNORABLE)]
    bad = [] if replace_head and _is_head(differing, own, state) else differing
    if missing or unexpected or bad:
        lines = (
            [f"missing {key}" for key in missing]
            + [f"unexpected {key}" for key in unexpected]
            + [f"{key} has shape {list(state[key].shape)}, not {list(own[key].shape)}" for key in bad]
        )
        by_order = f". Nor can its keys be mapped by their order: {reason}" if reason else ""
        raise UnavailableError(f"{name}: does not fit the network: {_first_five(lines)}{by_order}", remedy=remedy)
    broken = [key for key, value in state.items() if key in own and _is_broken(value, own[key])]
    if broken:
        raise UnavailableError(
            f"{name}: holds values that are NaN or infinite: {_first_five(broken)}",
            remedy="The training that wrote it had diverged; take an earlier checkpoint.",
        )
    network.load_state_dict({key: value for key, value in state.items() if key not in differing}, strict=False)
    return bool(differing)


def _first_five(lines: Sequence[str]) -> str:
    return "; ".join(lines[:5]) + (f", and {len(lines) - 5} more" if len(lines) > 5 else "")


def _is_broken(value: Tensor, initial: Tensor) -> bool:
    """Whether values are not finite where a new network's are; masks of attention are infinite from the start."""
    if not value.is_floating_point() or bool(torch.isfinite(value).all()):
        return False
    return bool(torch.isfinite(initial).all())


def _is_head(differing: list[str], own: dict[str, Tensor], state: dict[str, Tensor]) -> bool:
    """Whether the keys are those of one linear layer or convolution that differ in the number of outputs alone."""
    return (
        len({key.rpartition(".")[0] for key in differing}) == 1
        and all(own[key].shape[1:] == state[key].shape[1:] for key in differing)
        and any(own[key].ndim > 1 for key in differing)
    )
