"""Checkpoint files in the forms that people have, and what fits a network of them."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exporters.errors import UnavailableError
from exporters.files import sha256_file

# The averaged weights come last: where a file holds both, the plain ones are what `model` alone would mean.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "model_ema", "state_dict_ema")
_PREFIXES = ("module.", "model.", "network.", "_orig_mod.")
_COUNTER_OF_AVERAGES = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
# PyTorch's custom, resnet18-f37072fd.pth; digits alone are rather a date or a step.
_NAME_HASH = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})$")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file: raw, under `state_dict`, with `module.` before each key, or safetensors.

    Nothing is unpickled but tensors and plain containers. A name that ends in `-<hex>` is checked against the content.

    Raises:
        UnavailableError: no such file, a wrong hash, or no state dict inside.
    """
    if not path.is_file():
        raise UnavailableError(f"no such weights file: {path}", remedy="Paths are relative to where you are.")
    expected = _NAME_HASH.search(path.stem)
    if expected is not None and not sha256_file(path).startswith(expected.group(1)):
        raise UnavailableError(
            f"{path}: the content does not match the hash in its name ({expected.group(1)})",
            remedy="The file is damaged or was renamed; fetch it again.",
        )
    try:
        loaded: Any
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own for a damaged file; all mean the same to the user
        # PyTorch's own message would have the user load the file without protection.
        reason = (
            "it holds objects that are no tensors; only plain tensors are loaded"
            if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
            else f"{type(error).__name__}: damaged, or of another format"
        )
        raise UnavailableError(
            f"{path}: not a readable checkpoint ({reason})", remedy="Save it again as a state dict or as safetensors."
        ) from error
    return _strip_prefixes(_unwrap(loaded, path))


def _unwrap(loaded: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(loaded, dict):
        inner = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), dict)), None)
        if inner is None:
            break
        loaded = inner
    is_state = isinstance(loaded, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items())
    if not loaded or not is_state:
        raise UnavailableError(f"{path}: holds no state dict", remedy="Save the model's state_dict() into the file.")
    return {key: value for key, value in loaded.items() if key != _COUNTER_OF_AVERAGES}


def _strip_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((p for p in _PREFIXES if state and all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def fit_state(network: nn.Module, state: dict[str, Tensor], name: str, *, replace_head: bool, remedy: str) -> bool:
    """Load a state into a network, in place; nothing is changed unless all of it fits.

    Args:
        network: as `exporters.architectures.build` gives it.
        state: what `read_state_dict` gave; counters of batch norms may be missing or too many.
        name: what messages call the state.
        replace_head: allow a classifier of another number of classes to stay at its initialisation.
        remedy: what a user can do where it does not fit.

    Returns:
        Whether the classifier was left so.

    Raises:
        UnavailableError: keys are missing, unexpected or of another shape; the first five are told.
    """
    own = network.state_dict()
    differing = [key for key in own if key in state and own[key].shape != state[key].shape]
    ignorable = ("num_batches_tracked",)
    missing = [key for key in own if key not in state and not key.endswith(ignorable)]
    unexpected = [key for key in state if key not in own and not key.endswith(ignorable)]
    bad = [] if replace_head and _is_head(differing, own, state) else differing
    if missing or unexpected or bad:
        lines = (
            [f"missing {key}" for key in missing]
            + [f"unexpected {key}" for key in unexpected]
            + [f"{key} has shape {list(state[key].shape)}, not {list(own[key].shape)}" for key in bad]
        )
        more = f", and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise UnavailableError(f"{name}: does not fit the network: {'; '.join(lines[:5])}{more}", remedy=remedy)
    network.load_state_dict({key: value for key, value in state.items() if key not in differing}, strict=False)
    return bool(differing)


def _is_head(differing: list[str], own: dict[str, Tensor], state: dict[str, Tensor]) -> bool:
    """Whether the keys are those of one linear layer or convolution that differ in the number of outputs alone."""
    return (
        len({key.rpartition(".")[0] for key in differing}) == 1
        and all(own[key].shape[1:] == state[key].shape[1:] for key in differing)
        and any(own[key].ndim > 1 for key in differing)
    )
