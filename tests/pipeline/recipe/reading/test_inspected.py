from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.recipe.reading.inspected import inspected_data


def test_data_set_by_name_needs_its_folder() -> None:
    with pytest.raises(UsageError, match="'cub200' is read from a folder"):
        inspected_data("cub200", None, (), print)
    settings, size, _names = inspected_data("cub200", Path("x"), ("data.image_size=64",), print)
    assert (settings.dataset, settings.root, size) == ("cub200", "x", 64)


def test_folder_and_recipe_are_distinguished(tmp_path: Path) -> None:
    settings, size, _names = inspected_data(str(tmp_path), None, (), print)
    assert (settings.dataset, settings.root, size) == ("folder", str(tmp_path), None)
    settings, size, _names = inspected_data("quickstart", None, (), print)
    assert settings.dataset == "birds_demo" and size == settings.image_size
    with pytest.raises(UsageError, match="did you mean quickstart"):
        inspected_data("quikstart", None, (), print)
