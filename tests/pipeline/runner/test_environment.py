import platform

import numpy as np

from pipeline import __version__
from pipeline.runner.environment import describe_environment, installed_packages


def test_installed_packages_are_described() -> None:
    described = describe_environment()
    assert described["python"] == platform.python_version()
    assert described["processors"] >= 1
    packages = described["packages"]
    assert packages == installed_packages()
    assert packages["numpy"] == np.__version__
    assert packages["tmkd-pipeline"] == __version__
    assert all(isinstance(version, str) and version for version in packages.values())
