"""Whether a checkpoint's tensors fit a network, and loading those that do."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.core.wording import first_of
from exporters.student.architectures import Architecture
from exporters.student.finite import NAMED, non_finite, require_finite

AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""Heads that help while these of torchvision are trained from scratch; ours are built without them."""

_COUNTER = "num_batches_tracked"


def without_auxiliary_heads(
    state: dict[str, Tensor], network: nn.Module, architecture: Architecture
) -> dict[str, Tensor]:
    """The state without the auxiliary heads of torchvision's Inceptions, unless the network was built with them."""
    heads = AUXILIARY_HEADS.get(architecture.name, ()) if architecture.source == "torchvision" else ()
    heads = tuple(head for head in heads if getattr(network, head[:-1], None) is None)
    return {key: value for key, value in state.items() if not key.startswith(heads)} if heads else state


def load_exactly(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load a state that has the network's own keys and shapes, in place.

    Args:
        network: changed only if all of the state fits.
        state: tensors by key.
        name: what messages call the state.

    Raises:
        UnavailableError: keys are missing, unexpected or of another shape (the message names the first five), or
            values are NaN or infinite.
    """
    own = network.state_dict()
    mismatch = _compare(own, state)
    if lines := mismatch.lines(own, state):
        raise UnavailableError(f"{name}: does not fit the network: {first_of(lines, NAMED, clauses=True)}")
    require_finite(state, name, allowed=non_finite(own))
    _load(network, state)


def fit_state(
    network: nn.Module,
    state: dict[str, Tensor],
    name: str,
    *,
    replace_head: bool,
    remedy: str,
    reason: str | None = None,
) -> bool:
    """Load a checkpoint's state into a network, in place; nothing is changed unless all of it fits.

    Args:
        network: as `exporters.student.architectures.build` gives it.
        state: what `exporters.student.key_order.with_own_keys` gave; counters of batch norms may be missing or
            superfluous.
        name: what messages call the state.
        replace_head: allow a classifier of another number of classes to stay at its initialization.
        remedy: what a user can do where it does not fit.
        reason: why keys that are not the network's could not be mapped, for the message.

    Returns:
        Whether the classifier stayed at its initialization.

    Raises:
        UnavailableError: keys are missing, unexpected or of another shape (the message names the first five), or
            values are NaN or infinite.
    """
    own = network.state_dict()
    mismatch = _compare(own, state, ignored=_COUNTER)
    head_differs = replace_head and _is_head(mismatch.reshaped, own, state)
    if lines := mismatch.lines(own, state, shapes=not head_differs):
        by_order = f". Nor can its keys be mapped by their order: {reason}" if reason else ""
        shown = first_of(lines, NAMED, clauses=True)
        raise UnavailableError(f"{name}: does not fit the network: {shown}{by_order}", remedy=remedy)
    require_finite({key: value for key, value in state.items() if key in own}, name, allowed=non_finite(own))
    _load(network, {key: value for key, value in state.items() if key in own and key not in mismatch.reshaped})
    return bool(mismatch.reshaped)


@dataclass(frozen=True)
class _Mismatch:
    """Keys in which a state differs from a network: missing, unexpected, and those of another shape."""

    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    def lines(self, own: Mapping[str, Tensor], state: Mapping[str, Tensor], *, shapes: bool = True) -> list[str]:
        """One line a key, for messages; without `shapes`, differing shapes are accepted."""
        return (
            [f"missing {key}" for key in self.missing]
            + [f"unexpected {key}" for key in self.unexpected]
            + [
                f"{key} has shape {list(state[key].shape)}, not {list(own[key].shape)}"
                for key in (self.reshaped if shapes else ())
            ]
        )


def _compare(own: Mapping[str, Tensor], state: Mapping[str, Tensor], ignored: str | None = None) -> _Mismatch:
    """Compare keys and shapes; keys that end in `ignored` may be missing or superfluous."""

    def matters(key: str) -> bool:
        return ignored is None or not key.endswith(ignored)

    return _Mismatch(
        [key for key in own if key not in state and matters(key)],
        [key for key in state if key not in own and matters(key)],
        [key for key in own if key in state and own[key].shape != state[key].shape],
    )


def _load(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    whole = network.state_dict()
    for key, value in state.items():  # in place, since some modules keep a version beside the tensors of their state
        whole[key] = value
    network.load_state_dict(whole)


def _is_head(differing: list[str], own: dict[str, Tensor], state: dict[str, Tensor]) -> bool:
    """Whether the keys are those of one linear layer or convolution that differ in the number of outputs alone."""
    return (
        len({key.rpartition(".")[0] for key in differing}) == 1
        and all(own[key].shape[1:] == state[key].shape[1:] for key in differing)
        and any(own[key].ndim > 1 for key in differing)
    )
