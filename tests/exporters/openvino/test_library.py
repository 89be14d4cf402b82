"""OpenVINO is found, or what is missing is said."""

import importlib.machinery
import subprocess
import sys
from types import SimpleNamespace

import pytest

from exporters.core.errors import UnavailableError
from exporters.openvino import library


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError, match="OpenVINO is not installed or cannot be imported") as caught:
        library.find()
    assert caught.value.remedy == "pip install 'tmkd-pipeline[openvino]'"


def test_an_openvino_without_a_cpu_plugin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(Core=lambda: SimpleNamespace(available_devices=["NPU"]), __version__="2026.1.0-1-releases")
    monkeypatch.setitem(sys.modules, "openvino", module)
    with pytest.raises(UnavailableError, match="no plugin for this CPU"):
        library.find()


def test_the_version_has_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(Core=lambda: SimpleNamespace(available_devices=["CPU"]), __version__="2026.1.0-1-releases")
    monkeypatch.setitem(sys.modules, "openvino", module)
    assert library.find().title == "OpenVINO 2026.1.0"


def test_reason_of_an_error_is_its_last_line() -> None:
    error = RuntimeError("Exception from src/core/src/graph.cpp:12:\n  Check failed\nUnsupported operator: Loop\n\n")
    assert library.reason_of(error) == "Unsupported operator: Loop"
    assert library.reason_of(RuntimeError(" \n")) == "no reason given"


def test_looking_for_the_package_does_not_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    assert library.is_installed() and "openvino" not in sys.modules
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    assert not library.is_installed()


def test_neither_verify_nor_export_import_openvino_before_it_is_asked_for() -> None:
    imports = "import sys, exporters.bundle.verify, exporters.openvino.convert, pipeline.recipe.schema.recipe;"
    code = f"{imports} sys.exit('openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
