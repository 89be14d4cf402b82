from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.readers.oxford_pets import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import edit, oxford_pets

SETTINGS = Data(dataset="oxford_pets")


def test_comments_are_ignored(tmp_path: Path) -> None:
    root = oxford_pets(tmp_path)
    before = read(root, SETTINGS)
    table = root / "annotations/trainval.txt"
    table.write_text("#Image CLASS-ID SPECIES BREED ID\n" + table.read_text())
    assert read(root, SETTINGS) == before


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("trainval", 2, "Abyssinian_7", r"trainval\.txt, line 2: expected '<breed>_<number> <class> …', found 'Abys"),
        ("trainval", 2, "Abyssinian_7 one 1 1", r"trainval\.txt, line 2: expected"),
        ("trainval", 2, "Abyssinian 1 1 1", r"trainval\.txt, line 2: expected"),
        ("trainval", 2, "Abyssinian_9 1 1 1", r"line 2: there is no file .*Abyssinian_9\.jpg \(1 of 9"),
        ("trainval", 2, "Bengal_7 1 1 1", r"line 2: class 1 is 'Bengal' here, and 'Abyssinian' in .*line 1"),
        ("trainval", 2, "Abyssinian_100 1 1 1", r"line 2: .*Abyssinian_100\.jpg' stands on line 1 already"),
        ("test", 1, "Abyssinian_100 1 1 1", r"test\.txt, line 1: .* stands in .*trainval\.txt, line 1 already"),
        ("test", 1, "../Abyssinian_100 1 1 1", r"test\.txt, line 1: class 1 is '\.\./Abyssinian' here"),
        ("test", 1, "../annotations/x_1 9 1 1", r"test\.txt, line 1: .* leads out"),
        ("test", 1, None, r"trainval\.txt, line 1: class 'Abyssinian' has no test image"),
    ],
)
def test_tables_that_are_wrong_name_the_line(
    tmp_path: Path, file: str, line: int, text: str | None, message: str
) -> None:
    root = oxford_pets(tmp_path)
    edit(root / f"annotations/{file}.txt", line, text)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy
