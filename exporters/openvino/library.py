"""The package `openvino`, imported when it is asked for.

Models are read by `Core.read_model`, in C++: `openvino.convert_model` reports each conversion to a server of Google
Analytics unless telemetry was switched off for the user, and nothing of this project may send anything unasked.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from exporters.core.errors import UnavailableError

_REMEDY = "pip install 'tmkd-pipeline[openvino]'"

# One core for the whole process, never freed. Its CPU plugin gives the thread another stack for signal handlers, and
# takes it away with itself; if several cores end in another order than they began, the next Ctrl-C is a SIGSEGV.
_cores: list[tuple[Any, Any]] = []


@dataclass(frozen=True)
class Library:
    """An imported OpenVINO.

    Args:
        module: the Python package.
        core: its only `Core`, which reads and compiles models.
        version: as the package states it, without the build, such as `2026.4.1`.
    """

    module: Any
    core: Any
    version: str

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"OpenVINO {self.version}"


def is_installed() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


def find() -> Library:
    """Import OpenVINO, and look for its CPU plugin.

    Raises:
        UnavailableError: not installed, cannot be imported, or without a plugin for this CPU.
    """
    try:
        module = importlib.import_module("openvino")
        core = _core_of(module)
        devices = list(core.available_devices)
    except Exception as error:  # a library that it loads is not there, or does not fit
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UnavailableError(f"OpenVINO is not installed or cannot be imported ({reason})", remedy=_REMEDY) from error
    if "CPU" not in devices:
        raise UnavailableError("OpenVINO has no plugin for this CPU", remedy=f"{_REMEDY}, on x86-64 or ARM64.")
    return Library(module, core, str(module.__version__).split("-", maxsplit=1)[0])


def _core_of(module: Any) -> Any:
    for known, core in _cores:
        if known is module:
            return core
    _cores.append((module, module.Core()))
    return _cores[-1][1]


def reason_of(error: RuntimeError) -> str:
    """What OpenVINO says in the last line of an error, behind those that name its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or ["no reason given"])[-1][:300]
