from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.recipe import load_recipe

Write = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files in a folder below the working directory; gives the path of the first."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / "own" / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path / "own" / f"{next(iter(texts))}.yaml"

    return write


def mistakes(source: str, *overrides: str) -> list[str]:
    """The lines of the error that a recipe with mistakes ends in."""
    with pytest.raises(UsageError) as caught:
        load_recipe(source, overrides)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()
