"""What an engine is built for."""

import re
from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import UsageError
from exporters.tensorrt.libraries import Library

_LEAST_WORKSPACE = 2**20
_CAPABILITY = re.compile(r"[1-9]\d?\.\d")


@dataclass(frozen=True)
class EngineSettings:
    """Settings of one engine; values that cannot be right raise UsageError.

    Args:
        batch: smallest, most likely and largest batch, 1 <= min <= opt <= max; None for a model of a fixed batch.
        workspace_bytes: the most scratch memory that a layer may use, 1 MiB or more; None leaves it to TensorRT.
        version_compatible: the engine also runs with later TensorRT of the same major version (not for RTX).
        hardware_compatible: the engine also runs on other GPUs from Ampere on, and is slower (not for RTX).
        compute_capabilities: such as ("8.6", "8.9"); only TensorRT for RTX takes them. Empty: its own choice.
        timing_cache: file of measured kernel times, read where it fits and written back; None keeps none.
    """

    batch: tuple[int, int, int] | None = (1, 16, 64)
    workspace_bytes: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: Path | None = None

    def __post_init__(self) -> None:
        if self.batch is not None:
            if len(self.batch) != 3 or any(
                isinstance(value, bool) or not isinstance(value, int) for value in self.batch
            ):
                raise UsageError(f"tensorrt.batch: need three whole numbers min, opt, max, not {self.batch!r}")
            smallest, likely, largest = self.batch
            if not 1 <= smallest <= likely <= largest:
                raise UsageError(
                    f"tensorrt.batch: min {smallest}, opt {likely}, max {largest} are out of order",
                    remedy="1 <= min <= opt <= max must hold.",
                )
        if self.workspace_bytes is not None and self.workspace_bytes < _LEAST_WORKSPACE:
            raise UsageError(
                f"tensorrt.workspace_bytes: {self.workspace_bytes} is less than 1 MiB ({_LEAST_WORKSPACE})"
            )
        for value in self.compute_capabilities:
            if not _CAPABILITY.fullmatch(value):
                raise UsageError(f"tensorrt.compute_capabilities: {value!r} is not of the form 8.6")
        if len(set(self.compute_capabilities)) != len(self.compute_capabilities):
            raise UsageError(
                f"tensorrt.compute_capabilities: one occurs twice in {', '.join(self.compute_capabilities)}"
            )

    def check(self, library: Library) -> None:
        """Refuse, by UsageError, what this TensorRT does not have: it would ignore it, or fail late."""
        if library.is_rtx:
            for key in ("version_compatible", "hardware_compatible"):
                if getattr(self, key):
                    raise UsageError(
                        f"tensorrt.{key}: {library.title} does not have it",
                        remedy="Its engines run on all GPUs of `compute_capabilities`; a new version needs new ones.",
                    )
        elif self.compute_capabilities:
            raise UsageError(
                f"tensorrt.compute_capabilities: {library.title} builds for the GPU at hand",
                remedy="Leave the key out, or take TensorRT for RTX.",
            )
        for value in self.compute_capabilities:
            library.compute_capability(value)
