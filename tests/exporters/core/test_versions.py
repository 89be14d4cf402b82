import importlib.metadata

import pytest

from exporters.core.versions import installed_packages


def test_installed_packages_have_their_versions_and_absent_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    assert installed_packages()["numpy"] == version("numpy")

    def without_timm(name: str) -> str:
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_timm)
    assert "timm" not in installed_packages() and "torch" in installed_packages()
