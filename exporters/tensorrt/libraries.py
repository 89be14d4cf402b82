"""Which TensorRT is installed, and all that differs between TensorRT 10, TensorRT 11 and TensorRT for RTX."""

import importlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

from exporters.core.errors import UnavailableError, UsageError

Name = Literal["tensorrt", "tensorrt_rtx"]
Flavour = Literal["tensorrt", "tensorrt_rtx", "auto"]
_NAMES: tuple[Name, ...] = get_args(Name)
_OLDEST = 10  # of `tensorrt`; older ones know no strongly typed networks
_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
_REMEDIES = {
    "tensorrt": "pip install 'tmkd-pipeline[gpu]' on a machine with an NVIDIA GPU.",
    "tensorrt_rtx": "pip install tensorrt-rtx (it builds engines without a GPU too).",
}


@dataclass(frozen=True)
class Library:
    """An imported TensorRT.

    Args:
        module: the Python package.
        name: `tensorrt` or `tensorrt_rtx`.
        version: as the package states it.
    """

    module: Any
    name: Name
    version: str

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"{_TITLES[self.name]} {self.version}"

    @property
    def is_rtx(self) -> bool:
        """TensorRT for RTX: builds without a GPU, for a choice of compute capabilities."""
        return self.name == "tensorrt_rtx"

    @property
    def network_flags(self) -> int:
        """Flags of a strongly typed network. TensorRT 11 knows no other kind; batches are explicit since 10."""
        flag = getattr(self.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def without_tf32(self, config: Any) -> None:
        """Let a builder configuration keep all bits of fp32; a TensorRT without the flag has no TF32 to switch off."""
        flag = getattr(self.module.BuilderFlag, "TF32", None)
        if flag is not None:
            config.clear_flag(flag)

    @property
    def compute_capabilities(self) -> tuple[str, ...]:
        """Those that can be chosen, such as "8.6"; none where engines are built for the GPU at hand."""
        known = getattr(self.module, "ComputeCapability", None) if self.is_rtx else None
        if known is None:
            return ()
        digits = [name[2:] for name in known.__members__ if name.startswith("SM")]
        return tuple(f"{value[:-1]}.{value[-1]}" for value in sorted(digits, key=int))

    def compute_capability(self, value: str) -> Any:
        """The library's own constant for "8.6"; a value that it does not know raises UsageError with those it does."""
        if value not in self.compute_capabilities:
            raise UsageError(
                f"{self.title} builds no engines for compute capability {value}",
                remedy=f"Supported: {', '.join(self.compute_capabilities) or 'that of the GPU at hand alone'}.",
            )
        return self.module.ComputeCapability.__members__["SM" + value.replace(".", "")]


def find(flavour: Flavour = "auto") -> Library:
    """Import TensorRT.

    Args:
        flavour: `auto` takes `tensorrt` where it is installed, else `tensorrt_rtx`.

    Raises:
        UsageError: no such flavour.
        UnavailableError: not installed, cannot be imported, or too old.
    """
    if flavour == "auto":
        missing = []
        for name in _NAMES:
            try:
                return _load(name)
            except UnavailableError as error:
                missing.append(error)
        raise UnavailableError(
            "; ".join(error.message for error in missing),
            remedy=" Or: ".join(error.remedy or "" for error in missing),
        )
    if flavour not in _NAMES:
        raise UsageError(f"unknown TensorRT flavour {flavour!r}", remedy=f"Known: {', '.join(_NAMES)}, auto.")
    return _load(flavour)


def _load(name: Name) -> Library:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library that the package loads is not there
        reason = str(error).split("\n")[0][:200]
        raise UnavailableError(
            f"{_TITLES[name]} is not installed or cannot be imported ({reason})", remedy=_REMEDIES[name]
        ) from error
    version = str(getattr(module, "__version__", ""))
    major = version.split(".", maxsplit=1)[0]
    if name == "tensorrt" and (not major.isdigit() or int(major) < _OLDEST):
        raise UnavailableError(
            f"TensorRT {version or 'without a version'} is installed; {_OLDEST} or newer is needed",
            remedy=_REMEDIES[name],
        )
    return Library(module, name, version)
