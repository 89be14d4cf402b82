"""Recipes in temporary folders."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a recipe to `recipe.yaml` in a fresh working directory, and give its name."""
    monkeypatch.chdir(tmp_path)

    def write_text(text: str) -> str:
        Path("recipe.yaml").write_text(text, encoding="utf-8")
        return "recipe.yaml"

    return write_text
