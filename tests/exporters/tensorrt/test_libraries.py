import subprocess
import sys
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.core.errors import UnavailableError, UsageError
from exporters.tensorrt.libraries import Library, find


def test_missing_library_is_reported_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnavailableError, match="TensorRT is not installed") as caught:
        find("tensorrt")
    assert caught.value.exit_code == 4
    assert "tmkd-pipeline[gpu]" in (caught.value.remedy or "")
    with pytest.raises(UnavailableError, match="TensorRT for RTX is not installed") as caught:
        find("tensorrt_rtx")
    assert "pip install tensorrt-rtx" in (caught.value.remedy or "")
    with pytest.raises(UnavailableError, match=r"TensorRT is not.*TensorRT for RTX is not") as caught:
        find()
    assert "[gpu]" in (caught.value.remedy or "") and "tensorrt-rtx" in (caught.value.remedy or "")


def test_installed_library_is_found_automatically(monkeypatch: pytest.MonkeyPatch, rtx: Library) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert find() == rtx
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="10.9.0"))  # type: ignore[arg-type]
    assert find().name == "tensorrt"


@pytest.mark.parametrize("version", ["8.6.1", ""])
def test_a_tensorrt_without_strong_typing_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__=version))  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="10 or newer"):
        find("tensorrt")


def test_unknown_flavour_is_refused() -> None:
    with pytest.raises(UsageError, match="tensorrt_lean"):
        find("tensorrt_lean")  # type: ignore[arg-type]


class _Ten(IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class _Eleven(IntEnum):
    PREFER_AOT_PYTHON_PLUGINS = 3


@pytest.mark.parametrize(("flags", "expected"), [(_Ten, 0b10), (_Eleven, 0)])
def test_networks_are_strongly_typed_in_10_and_11(flags: Any, expected: int) -> None:
    module = SimpleNamespace(NetworkDefinitionCreationFlag=flags)
    assert Library(module, "tensorrt", "10.9.0").network_flags == expected


def test_capabilities_are_those_of_the_library(rtx: Library) -> None:
    assert {"8.6", "8.9", "12.0"} <= set(rtx.compute_capabilities)
    assert rtx.compute_capabilities[0] == "7.5"
    assert rtx.compute_capability("8.9") == rtx.module.ComputeCapability.SM89
    with pytest.raises(UsageError, match=r"compute capability 9\.0") as caught:
        rtx.compute_capability("9.0")
    assert "8.6, 8.9" in (caught.value.remedy or "")
    assert Library(rtx.module, "tensorrt", "11.0.0").compute_capabilities == ()


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, exporters.tensorrt, exporters.runtimes.tensorrt\n"
        "print(sorted({'torch', 'onnx', 'tensorrt', 'tensorrt_rtx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
