import shutil
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def odd(folders: Path) -> Path:
    """`folders` with a copy in training, two across splits, one in two classes, a broken and a one-coloured image."""
    shutil.copy(folders / "train/teal/000.png", folders / "train/teal/copy.png")
    shutil.copy(folders / "test/teal/000.png", folders / "train/teal/leak.png")
    shutil.copy(folders / "test/teal/001.png", folders / "train/wood_duck/leak.png")
    (folders / "train/wood_duck/broken.png").write_bytes(b"no image")
    Image.new("RGB", (40, 30), (9, 9, 9)).save(folders / "test/wood_duck/grey.jpg", "PNG")
    (folders / "train/teal/notes.txt").write_text("x")
    return folders
