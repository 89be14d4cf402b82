"""A data set of pictures with everything that `data inspect` finds, under names that are hard to show."""

import shutil
from pathlib import Path

import pytest

from tests.pipeline.data.inspection.pictures import LIGHT_CHANGES, picture

HOSTILE = "<img src=x onerror=alert(1)>&amp;\"'"
LONG = "a very long name of a class " * 6


def write_pictures(root: Path, classes: tuple[str, ...]) -> Path:
    """Class folders with ten training, two validation and four test images each."""
    for number, name in enumerate(classes):
        for split, count in (("train", 10), ("val", 2), ("test", 4)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for image in range(count):
                picture(1000 * number + 100 * len(split) + image, (64, 48)).save(folder / f"{image}.png")
    return root


@pytest.fixture(scope="package")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes; copies, leaks, near-duplicates, a broken image and odd ones."""
    classes = (HOSTILE, "冠羽のある鳥 гребінчастий птах")
    root = write_pictures(tmp_path_factory.mktemp("hostile") / "фото <b>", classes)
    train, test = root / "train" / classes[0], root / "test" / classes[1]
    for number, change in enumerate(LIGHT_CHANGES.values()):
        change(picture(90_000 + number)).save(test / f"{'x' * 120}{HOSTILE}{number}.png")
        picture(90_000 + number).save(train / f"near {number}.png")
    shutil.copy(train / "0.png", train / "copy.png")
    (test / "broken.png").write_bytes(b"no image")
    picture(900, (400, 60)).save(train / "long.png")
    picture(901).convert("L").save(train / "grey.png")
    return root
