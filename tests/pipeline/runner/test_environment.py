import os
import platform

import numpy as np
import pytest
import torch

from pipeline import __version__
from pipeline.recipe.schema.lock import LockSettings
from pipeline.runner.environment import describe_environment, environment_changes, installed_packages, threads


def test_installed_packages_are_described() -> None:
    described = describe_environment()
    assert described["python"] == platform.python_version()
    assert described["processors"] >= described["cores"] >= 1 and described["processor"]
    assert described["threads"] == torch.get_num_threads()
    packages = described["packages"]
    assert packages == installed_packages()
    assert packages["numpy"] == np.__version__
    assert packages["tmkd-pipeline"] == __version__
    assert all(isinstance(version, str) and version for version in packages.values())


def test_block_computes_with_its_own_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with threads(before + 2):
        assert torch.get_num_threads() == before + 2
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == str(before + 2)
    assert torch.get_num_threads() == before
    assert os.environ["OMP_NUM_THREADS"] == "1" and "MKL_NUM_THREADS" not in os.environ
    with threads(None):
        assert torch.get_num_threads() == before and os.environ["OMP_NUM_THREADS"] == "1"


def test_changes_of_versions_are_listed_and_libraries_that_came_besides_are_not() -> None:
    assert environment_changes(LockSettings(packages={"numpy": np.__version__})) == []
    assert environment_changes(LockSettings(packages={"numpy": "1.0"})) == [f"numpy was 1.0, is {np.__version__}"]
