"""The folder of `predict --explain`: safe names, nothing overwritten unasked."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.client import Explanation
from exporters.core.errors import UsageError
from exporters.images.outputs import is_output
from pipeline.commands.explained import ExplainedFolder


def explained(label: str, probability: float = 0.934) -> Explanation:
    return Explanation([(label, probability)], np.zeros((2, 2), np.float32), Image.new("RGB", (3, 2), "red"))


def test_name_tells_image_label_and_per_cent_and_the_picture_says_all(tmp_path: Path) -> None:
    folder = ExplainedFolder(tmp_path / "out", overwrite=False)
    path = folder.write(Path("a/IMG_0042.JPG"), explained("red-crested finch"))
    assert path == tmp_path / "out" / "IMG-0042_red-crested-finch_93.png"
    with Image.open(path) as picture:
        assert picture.size == (3, 2)
        assert picture.text == {"image": "IMG_0042.JPG", "label": "red-crested finch", "probability": "0.934000"}
    assert is_output(tmp_path / "out")  # never read as images of a data set


@pytest.mark.parametrize(
    ("image", "label", "name"),
    [
        ("photo.png", "../../etc/passwd", "photo_etc-passwd_93.png"),
        ("..png", "a\x1b[31m\n<b>", "image_a-31m-b_93.png"),
        ("фото.jpg", "Ærø tern", "фото_Ærø-tern_93.png"),
        ("💥.jpg", "///", "image_class_93.png"),
        ("CON.jpg", "_", "CON_class_93.png"),
        ("\udcff.jpg", "é" * 200, f"image_{'é' * 40}_93.png"),
    ],
)
def test_names_stay_in_the_folder_whatever_images_and_labels_are_called(
    tmp_path: Path, image: str, label: str, name: str
) -> None:
    path = ExplainedFolder(tmp_path / "out", overwrite=False).write(Path(image), explained(label))
    assert path.name == name and path.parent == tmp_path / "out" and path.is_file()


def test_images_of_one_name_get_pictures_of_their_own(tmp_path: Path) -> None:
    folder = ExplainedFolder(tmp_path, overwrite=False)
    names = [folder.write(Path(image), explained("owl")).name for image in ("a/1.png", "b/1.png", "c/1.PNG", "d/2.png")]
    assert names == ["1_owl_93.png", "1_owl_93-2.png", "1_owl_93-3.png", "2_owl_93.png"]


def test_folder_with_files_is_refused_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = ExplainedFolder(out, overwrite=False).write(Path("1.png"), explained("owl"))
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds files already"):
        ExplainedFolder(out, overwrite=False)
    assert path.read_bytes() == b"mine"
    assert ExplainedFolder(out, overwrite=True).write(Path("1.png"), explained("owl")) == path
    assert path.read_bytes() != b"mine"
    with pytest.raises(UsageError, match="is no folder"):
        ExplainedFolder(path, overwrite=True)
