from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.inspection.inspect import inspect
from pipeline.data.inspection.sheet import SIDE, contact_sheet, images_per_class
from tests.pipeline.data.conftest import Data, write_folders

Settings = Callable[..., Data]


@pytest.mark.parametrize(("classes", "widest"), [(2, 600), (200, 2600)])
def test_sheet_has_every_class_and_a_sensible_shape(
    tmp_path: Path, settings: Settings, classes: int, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    for label in range(classes):
        for split in ("train", "test"):
            folder = tmp_path / split / f"class with a long name number {label:04}"
            folder.mkdir(parents=True)
            image.save(folder / "0.png")
    found = inspect(settings())
    path = tmp_path / "sheet.png"
    assert contact_sheet(found, path) == min(classes, 1000)
    with Image.open(path) as sheet:
        assert (max(sheet.size) <= widest and 0.4 < sheet.width / sheet.height < 2.5) or classes == 2
        assert sheet.width * sheet.height >= min(classes, 1000) * images_per_class(min(classes, 1000)) * SIDE**2


def test_class_names_in_any_script_are_drawn(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {f"{split}/{name}": 1 for split in ("train", "test") for name in ("鴨 とり", "утка 🦆")})
    assert contact_sheet(inspect(settings()), tmp_path / "sheet.png") == 2
