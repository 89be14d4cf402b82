"""The whole report on this machine."""

import sys
from pathlib import Path

import pytest

from exporters.artifacts import engines
from exporters.core.errors import UnavailableError
from pipeline.doctor import providers
from pipeline.doctor.diagnosis import diagnose
from pipeline.preflight import packages
from pipeline.recipe.schema.recipe import Recipe


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers are tried in `test_providers`."""
    monkeypatch.setattr(providers, "why_it_does_not_run", lambda provider: None)


def test_report_has_every_part_once() -> None:
    about = [each.about for each in diagnose()]
    parts = {"Python", "processors", "memory", "disk of the run", "NVIDIA driver", "PyTorch", "ONNX Runtime",
             "TensorRT", "TensorRT for RTX", "extra serve", "extra signing", "cached weights"}  # fmt: skip
    assert parts <= set(about) and len(about) == len(set(about))


def test_recipe_adds_its_paths_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.model_validate({"distill": {"method": "ce"}, "data": {"dataset": "folder", "root": "gone"}})
    faults = [each.about for each in diagnose(recipe) if each.state == "fault"]
    assert "data.root" in faults and "packages of the recipe" not in faults
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "timm" else object())
    found = {each.about: each for each in diagnose(recipe)}
    assert found["packages of the recipe"].state == "fault" and "timm" in found["packages of the recipe"].found
    assert not list(tmp_path.iterdir())


def test_what_the_recipe_asks_of_the_machine_and_is_not_here_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "openvino", None)
    asks = {"distill": {"method": "kd"}, "teacher": {"runtime": "openvino"}, "device": "cpu"}
    faults = {each.about: each for each in diagnose(Recipe.model_validate(asks)) if each.state == "fault"}
    runtime = faults["teacher.runtime"]
    assert runtime.found.startswith("OpenVINO is not installed") and runtime.remedy.endswith("[openvino]'")
    assert "export.openvino" not in faults
    asks |= {"export": {"openvino": {"when": "required"}, "tensorrt": {"when": "required"}}}
    monkeypatch.setattr(engines, "find", no_tensorrt)
    faults = {each.about: each for each in diagnose(Recipe.model_validate(asks)) if each.state == "fault"}
    assert {"teacher.runtime", "export.openvino", "export.tensorrt"} <= set(faults)


def no_tensorrt(_name: str) -> None:
    raise UnavailableError("TensorRT is not installed")
