import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from exporters.core.errors import UnavailableError
from pipeline.data.readers.stanford_cars import TEST, TRAIN, read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import CARS, cars_table, stanford_cars

SETTINGS = Data(dataset="stanford_cars")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return stanford_cars(tmp_path)


def test_mirrors_have_folders_in_folders_and_the_labels_in_the_kit(root: Path) -> None:
    before = read(root, SETTINGS)
    for folder in ("cars_train", "cars_test"):
        (root / folder).rename(root / "inner")
        (root / folder).mkdir()
        (root / "inner").rename(root / folder / folder)
    shutil.move(root / TEST, root / "devkit")
    after = read(root, SETTINGS)
    assert after.splits["train"].labels == before.splits["train"].labels
    assert after.splits["test"].paths == [path.replace("cars_test", "cars_test/cars_test") for path in
                                          before.splits["test"].paths]  # fmt: skip


@pytest.mark.parametrize("table", [TRAIN, TEST])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("00002.jpg", 4), r"{table}, entry 2: class 4 is not in devkit/cars_meta\.mat, which has 3"),
        (("00002.jpg", 0), r"{table}, entry 2: class 0 is not in"),
        (("00009.jpg", 1), r"{table}, entry 2: there is no file .*00009\.jpg"),
        (("00001.jpg", 1), r"{table}, entry 2: .*00001\.jpg' stands on entry 1 already"),
        (("../../secret.jpg", 1), r"{table}, entry 2: .* leads out"),
        (("", 1), r"{table}, entry 2: there is no file"),
    ],
)
def test_a_table_that_is_wrong_names_the_entry(root: Path, table: str, row: tuple[str, int], message: str) -> None:
    cars_table(root / table, [("00001.jpg", 1), row, ("00003.jpg", 3)])
    with pytest.raises(UnavailableError, match=message.replace("{table}", table.replace(".", r"\."))) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy


def test_test_images_without_labels_say_which_file_has_them(root: Path) -> None:
    (root / TEST).rename(root / "devkit/cars_test_annos.mat")
    with pytest.raises(UnavailableError, match=r"has no cars_test_annos_withlabels\.mat; .* has no labels"):
        read(root, SETTINGS)


def test_a_class_without_images_is_named(root: Path) -> None:
    savemat(
        root / "devkit/cars_meta.mat", {"class_names": np.array([[*CARS, "Fisker Karma Sedan 2012"]], dtype=object)}
    )
    with pytest.raises(
        UnavailableError, match=r"cars_meta\.mat, entry 4: class 'Fisker Karma Sedan 2012' has no train"
    ):
        read(root, SETTINGS)


def test_a_table_without_structs_is_named(root: Path) -> None:
    savemat(root / TRAIN, {"annotations": np.arange(4)})
    with pytest.raises(UnavailableError, match=r"annos\.mat: 'annotations' has no fields fname and class"):
        read(root, SETTINGS)
