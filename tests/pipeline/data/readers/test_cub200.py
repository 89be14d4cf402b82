from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from pipeline.data.readers.cub200 import TABLES, read
from tests.pipeline.data.conftest import Data, write_image

SETTINGS = Data(dataset="cub200")
CLASSES = {3: "003.Sooty_Albatross", 1: "001.Black_footed_Albatross", 20: "020.Groove_billed_Ani"}


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """Nine images; ids of images and classes have gaps, and the tables are in different orders."""
    root = tmp_path / "CUB_200_2011"
    images, labels, assignments = [], [], []
    for number, (identity, folder) in enumerate((i, f) for i, f in CLASSES.items() for _ in range(3)):
        image = 5 + 7 * number
        name = f"{folder}/{folder[4:]}_{number:04}_{image}.jpg"
        write_image(root / "images" / name, number)
        images.append(f"{image} {name}")
        labels.append(f"{image} {identity}")
        assignments.append(f"{image} {int(number % 3 != 1)}")
    (root / "images.txt").write_text("\n".join(images) + "\n")
    (root / "classes.txt").write_text("".join(f"{identity} {name}\r\n" for identity, name in CLASSES.items()))
    (root / "image_class_labels.txt").write_text("\n".join(reversed(labels)) + "\n\n")
    (root / "train_test_split.txt").write_text("\n".join(assignments[4:] + assignments[:4]))
    return root


def edit(path: Path, line: int, text: str | None) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")


def test_official_splits_and_names_are_read(cub: Path):
    listing = read(cub, SETTINGS)
    assert listing.classes == ["Black footed Albatross", "Sooty Albatross", "Groove billed Ani"]
    train, test = listing.splits["train"], listing.splits["test"]
    assert set(listing.splits) == {"train", "test"}
    assert train.labels == [1, 1, 0, 0, 2, 2]
    assert test.labels == [1, 0, 2]
    assert test.paths[1] == "images/001.Black_footed_Albatross/Black_footed_Albatross_0004_33.jpg"
    assert all((listing.root / path).is_file() for path in train.paths + test.paths)


def test_the_folder_of_the_archive_is_taken_too(cub: Path):
    assert read(cub.parent, SETTINGS) == read(cub, SETTINGS)


@pytest.mark.parametrize(
    ("table", "line", "text", "message"),
    [
        ("images.txt", 2, "12", r"images\.txt, line 2: expected '<id> <value>', found '12'"),
        ("images.txt", 2, "twelve a.jpg", r"images\.txt, line 2: expected"),
        ("images.txt", 2, "12 003.Sooty_Albatross/gone.jpg", r"images\.txt, line 2: there is no file .*gone\.jpg"),
        ("images.txt", 2, "12 ../classes.txt", r"images\.txt, line 2: .*leads out"),
        ("images.txt", 2, "12 /etc/passwd", r"images\.txt, line 2: .*leads out"),
        ("images.txt", 3, None, r"image_class_labels\.txt, line 7: image 19 is not in images\.txt"),
        ("images.txt", 2, "5 x/y.jpg", r"images\.txt, line 2: id 5 stands on line 1 already"),
        ("classes.txt", 3, None, r"image_class_labels\.txt, line 3: class '20' is not in classes\.txt"),
        ("classes.txt", 3, "21 021.Nothing", r"image_class_labels\.txt, line 3: class '20'"),
        ("image_class_labels.txt", 9, None, r"images\.txt, line 1: image 5 .*no line in image_class_labels\.txt"),
        ("image_class_labels.txt", 9, "5 three", r"image_class_labels\.txt, line 9: class 'three'"),
        ("train_test_split.txt", 1, "33 2", r"train_test_split\.txt, line 1: expected 1 .* found '2'"),
        ("train_test_split.txt", 1, None, r"images\.txt, line 5: image 33 .*no line in train_test_split\.txt"),
    ],
)
def test_tables_that_disagree_name_the_file_and_the_line(
    cub: Path, table: str, line: int, text: str | None, message: str
):
    edit(cub / table, line, text)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(cub, SETTINGS)
    assert caught.value.exit_code == 4


def test_a_class_without_images_is_named(cub: Path):
    with (cub / "classes.txt").open("a") as stream:
        stream.write("30 030.Fish_Crow\n")
    with pytest.raises(UnavailableError, match=r"classes\.txt, line 4: class '030.Fish_Crow' has no training image"):
        read(cub, SETTINGS)


def test_a_link_to_another_disk_is_followed(cub: Path, tmp_path: Path):
    before = read(cub, SETTINGS)
    image = cub / before.splits["train"].paths[0]
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to(tmp_path / "elsewhere.jpg")
    assert read(cub, SETTINGS).splits == before.splits


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table_is_named_with_the_remedy(cub: Path, table: str):
    (cub / table).unlink()
    with pytest.raises(UnavailableError, match=f"has no {table}") as caught:
        read(cub, SETTINGS)
    assert "tar -xzf CUB_200_2011.tgz" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"1 \xff\xfe.jpg\n"])
def test_an_empty_or_binary_table_is_named(cub: Path, content: bytes):
    (cub / "images.txt").write_bytes(content)
    with pytest.raises(UnavailableError, match=r"images\.txt"):
        read(cub, SETTINGS)


@pytest.mark.parametrize("root", [None, Path("no/such/folder")])
def test_missing_root_gives_the_expected_layout(root: Path | None):
    with pytest.raises(UnavailableError, match=r"data\.root") as caught:
        read(root, SETTINGS)
    for part in (*TABLES, "images/", "CUB_200_2011.tgz", "--set data.root=", "--set data.dataset=birds_demo"):
        assert part in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(table=st.sampled_from(TABLES), content=st.text(max_size=60))
def test_any_table_content_gives_a_clear_error(tmp_path_factory, table: str, content: str):
    root = tmp_path_factory.mktemp("cub")
    write_image(root / "images/a/1.png", 0, 4, 4)
    for name, text in zip(TABLES, ("1 a/1.png\n", "1 001.A\n", "1 1\n", "1 1\n"), strict=True):
        (root / name).write_text(text)
    (root / table).write_text(content)
    with pytest.raises(UnavailableError):  # one image in one class is never a data set
        read(root, SETTINGS)
