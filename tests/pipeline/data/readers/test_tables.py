import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from exporters.core.errors import UnavailableError
from pipeline.data.readers.tables import Place, Rows, load_matlab, read_rows, whole_number
from tests.pipeline.data.readers.layouts import images, structs


def test_rows_have_the_numbers_of_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\r\n\r\n  c\t\n")
    assert [(place.number, text) for place, text in read_rows(path)] == [(1, "a b"), (3, "c")]


@pytest.mark.parametrize(("content", "message"), [(b"\n \n", "is empty"), (b"a\nb\xff\n", "line 2: is not UTF-8")])
def test_an_empty_or_binary_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match=rf"x\.txt.*{message}"):
        read_rows(path)


def test_a_folder_in_place_of_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=f"{tmp_path}: cannot be read"):
        read_rows(tmp_path)


def test_matlab_files_without_scipy_give_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savemat(tmp_path / "x.mat", {"x": np.arange(3)})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UnavailableError, match=r"x\.mat: MATLAB files are read with scipy") as caught:
        load_matlab(tmp_path / "x.mat", ["x"])
    assert caught.value.exit_code == 4 and "pip install scipy" in str(caught.value)


def test_matlab_variables_keep_one_dimension(tmp_path: Path) -> None:
    rows = structs(["a", "b"], [("text", 3)])
    savemat(tmp_path / "x.mat", {"one": np.array([[7]]), "text": np.array([["x"]], dtype=object), "row": rows})
    one, text, row = load_matlab(tmp_path / "x.mat", ["one", "text", "row"])
    assert one.tolist() == [7] and str(text[0]) == "x"
    assert whole_number(row[0]["b"]) == 3 and str(row[0]["a"]) == "text"


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_matlab_file_is_named(tmp_path_factory, place: float, flip: int, cut: bool) -> None:
    path = tmp_path_factory.mktemp("mat") / "x.mat"
    savemat(path, {"x": np.array([["a", "b"]], dtype=object)}, do_compression=True)
    content = bytearray(path.read_bytes())
    position = int(place * len(content))
    content[position] ^= flip
    path.write_bytes(content[:position] if cut else content)
    try:
        assert load_matlab(path, ["x"])[0].ndim >= 1  # not every byte counts
    except UnavailableError as error:
        assert str(path) in error.message


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7), (7, 7), (np.uint8(7), 7), (np.float64(7.0), 7), ("07", 7), (7.5, None), ("-1", None), (-1, None),
     ("x", None), ("", None), ("٣", None), (float("nan"), None), (float("inf"), None), ("9" * 10, None), (None, None)],
)  # fmt: skip
def test_only_whole_numbers_are_accepted(value: object, number: int | None) -> None:
    assert whole_number(value) == number


def test_missing_images_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    images(tmp_path, ["a/1.jpg"])
    rows: Rows[str] = Rows(tmp_path)
    for number, name in enumerate(("a/1.jpg", "a/2.jpg", "b/3.jpg"), start=1):
        rows.add(Place(tmp_path / "x.txt", number), "train", name, "a")
    message = rf"x\.txt, line 2: there is no file {tmp_path}/a/2\.jpg \(2 of 3 images are missing\)"
    with pytest.raises(UnavailableError, match=message):
        rows.splits({"a": (tmp_path / "x.txt", "a")})


def test_labels_follow_the_order_of_the_classes(tmp_path: Path) -> None:
    images(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    rows: Rows[int] = Rows(tmp_path)
    for number, key in enumerate((20, 3, 20), start=1):
        rows.add(Place(tmp_path / "x.txt", number), "train", f"{number}.jpg", key)
    assert rows.splits({3: ("x", "a"), 20: ("x", "b")})["train"].labels == [1, 0, 1]
    with pytest.raises(UnavailableError, match="here: class 'c' has no training image"):
        rows.splits({3: ("x", "a"), 20: ("x", "b"), 21: ("here", "c")})


def test_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").symlink_to(tmp_path / "gone.jpg")
    rows: Rows[str] = Rows(tmp_path)
    rows.add(Place(tmp_path / "x.txt", 1), "train", "1.jpg", "a")
    with pytest.raises(UnavailableError, match=r"x\.txt, line 1: a link to nothing is .*1\.jpg"):
        rows.splits({"a": ("x", "a")})
