"""Weights files as training scripts write them: recognizing them, and choosing among several sets of weights.

torch is imported when a file is read, not before.
"""

import argparse
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import sha256_file

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")
"""Of weights files, in any case; `.tar` as in `model_best.pth.tar`."""

KNOWN_SUFFIXES = ".safetensors, .pt, .pth, .th, .bin, .ckpt, .pth.tar"

_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
_AVERAGED = re.compile(r"(^|_)(ema|swa|averaged?)(_|$)")
# Tensors under these names are no network's.
_NO_WEIGHTS = re.compile(r"optim|sched|scaler|loss|criterion|rng|callback|loops|hyper", re.IGNORECASE)
_DEPTH = 3
_PREFIXES = ("module.", "model.", "network.", "_orig_mod.")
_COUNTER_OF_AVERAGES = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
# PyTorch's custom, resnet18-f37072fd.pth; digits alone are rather a date or a step.
_NAME_HASH = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})$")
_REFUSED_TYPE = re.compile(r"GLOBAL (\S+)")


@dataclass(frozen=True)
class WeightsFile:
    """One set of weights, as it stands in a file.

    Attributes:
        path: of the file.
        state: the tensors by key, in the order of the file.
        key: where they stood, such as `state_dict` or `model.ema`; empty where the file holds nothing else.
        others: where other sets of weights stand.
        ordered: whether the order of the keys is that in which they were saved; safetensors sorts them.
        settings: plain values that the training script kept beside the weights as `args`.
    """

    path: Path
    state: "dict[str, Tensor]"
    key: str = ""
    others: tuple[str, ...] = ()
    ordered: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    def choice(self, option: str) -> str | None:
        """A line on which of several sets was taken; None where there was only one.

        Args:
            option: how the user names another.
        """
        if not self.others:
            return None
        averaged = " (averaged over the training)" if _is_averaged(self.key) else ""
        return (
            f"{self.path.name} holds {1 + len(self.others)} sets of weights; {self.key}{averaged} was taken."
            f" The others: {', '.join(self.others)}; {option} chooses."
        )


def has_weights_suffix(name: str) -> bool:
    """Whether a file's name ends as weights files do."""
    return PurePath(name).suffix.lower() in SUFFIXES


def weights_name(path: Path) -> str:
    """The name without suffixes: `best` for `best.pth.tar`."""
    stem = Path(path.stem) if path.suffix.lower() == ".tar" else path
    return stem.stem if has_weights_suffix(stem.name) else stem.name


def read_weights_file(path: Path, key: str | None = None, option: str = "weights_key") -> WeightsFile:
    """Read one set of weights: raw, below keys as training scripts write them, or safetensors.

    Tensors and plain values are unpickled, `argparse.Namespace` among them; values of numpy, paths and dates become
    placeholders, anything else is refused. Prefixes such as `module.` that all keys share are taken off. A name that
    ends in `-<hex>` is checked against the content.

    Args:
        path: of the file.
        key: where the weights stand, such as `state_dict_ema` or `model.ema`; None: the one set there is, or the one
            that is not an average.
        option: how the user gives `key`, for messages.

    Raises:
        UsageError: another suffix, or several sets of weights and none that is meant more likely.
        UnavailableError: no such file, a wrong hash, no weights inside, or none at `key`.
    """
    if not path.is_file():
        raise UnavailableError(f"no such weights file: {path}", remedy="Paths are relative to where you are.")
    if not has_weights_suffix(path.name):
        raise UsageError(f"{path}: not a weights file by its name", remedy=f"Known suffixes: {KNOWN_SUFFIXES}.")
    expected = _NAME_HASH.search(weights_name(path))
    if expected is not None and not sha256_file(path).startswith(expected.group(1)):
        raise UnavailableError(
            f"{path}: the content does not match the hash in its name ({expected.group(1)})",
            remedy="The file is damaged or was renamed; fetch it again.",
        )
    loaded = _load(path)
    sets = dict(_sets(loaded))
    if not sets:
        raise UnavailableError(f"{path}: holds no state dict", remedy="Save the model's state_dict() into the file.")
    chosen = _choose(sets, key, path, option)
    state = {name: value for name, value in sets[chosen].items() if name != _COUNTER_OF_AVERAGES}
    others = tuple(name for name in sets if name != chosen)
    arguments = loaded.get("args") if chosen else None
    settings = vars(arguments) if isinstance(arguments, argparse.Namespace) else arguments
    settings = settings if isinstance(settings, dict) else {}
    ordered = path.suffix.lower() != ".safetensors"
    return WeightsFile(path, _strip_prefixes(state), chosen, others, ordered, settings)


def _load(path: Path) -> Any:
    import torch

    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with torch.serialization.safe_globals(harmless_types()), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about TorchScript; the error says so
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own for a damaged file; all mean the same to the user
        raise _unreadable(path, error) from error


class _Placeholder:
    """Stands for a value that no weights are made of; it holds nothing and does nothing."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def harmless_types() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What training scripts save beside weights, for `torch.serialization.safe_globals`."""
    names = [f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")]
    names += ["numpy.dtype", "numpy.ndarray"]
    paths = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    names += [f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in paths]
    names += [f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")]
    return [argparse.Namespace, *((_Placeholder, name) for name in names)]


def _unreadable(path: Path, error: Exception) -> UnavailableError:
    """What is wrong with a file; PyTorch's own message would have the user load it without protection."""
    refused = _REFUSED_TYPE.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if refused is not None:
        reason = f"it holds objects that are no tensors ({refused.group(1)}), which are never unpickled"
        remedy = "Where it was made, save the weights alone: torch.save(model.state_dict(), 'weights.pth')."
    elif "TorchScript" in str(error):
        reason = "a TorchScript archive, not weights"
        remedy = "Save the network's weights: torch.save(torch.jit.load(file).state_dict(), 'weights.pth')."
    else:
        reason = f"{type(error).__name__}: damaged, or of another format"
        remedy = "Save it again as a state dict or as safetensors."
    return UnavailableError(f"{path}: not a readable checkpoint ({reason})", remedy=remedy)


def _sets(loaded: Any, path: tuple[str, ...] = ()) -> "Iterator[tuple[str, dict[str, Tensor]]]":
    """Each dict of a network's tensors in what was loaded, by its dotted place."""
    if not isinstance(loaded, dict) or not loaded:
        return
    if _is_state(loaded):
        yield ".".join(path), loaded
    elif len(path) < _DEPTH:
        for name, value in loaded.items():
            if isinstance(name, str) and not _NO_WEIGHTS.search(name):
                yield from _sets(value, (*path, name))


def _is_state(value: dict[Any, Any]) -> bool:
    from torch import Tensor

    tensors = [tensor for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)]
    return len(tensors) == len(value) and any(tensor.ndim > 1 for tensor in tensors)  # a mean and a std are no network


def _is_averaged(key: str) -> bool:
    return any(_AVERAGED.search(part) for part in key.split("."))


def _choose(sets: Mapping[str, Any], key: str | None, path: Path, option: str) -> str:
    if key is not None:
        found = [name for name in sets if name == key] or [name for name in sets if name.startswith(f"{key}.")]
        if len(found) != 1:
            there = ", ".join(name for name in sets if name)
            raise UnavailableError(
                f"{path}: {'several sets of weights' if found else 'no weights'} at {key!r}, which {option} names",
                remedy=f"It holds weights at: {there}." if there else f"It is a state dict itself: leave {option} out.",
            )
        return found[0]
    plain = [name for name in sets if not _is_averaged(name)]
    known = sorted(
        (name for name in plain if name.split(".")[0] in _PLAIN), key=lambda name: _PLAIN.index(name.split(".")[0])
    )
    if known:
        return known[0]
    candidates = plain or list(sets)
    if len(candidates) > 1:
        raise UsageError(
            f"{path}: holds {len(candidates)} sets of weights, and none is plainly the one: {', '.join(candidates)}",
            remedy=f"Choose with {option}, e.g. {option} {candidates[0]}.",
        )
    return candidates[0]


def _strip_prefixes(state: "dict[str, Tensor]") -> "dict[str, Tensor]":
    while prefix := next((p for p in _PREFIXES if state and all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
