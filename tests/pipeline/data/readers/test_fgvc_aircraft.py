from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.readers.fgvc_aircraft import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import edit, fgvc_aircraft

SETTINGS = Data(dataset="fgvc_aircraft")


def test_the_official_validation_split_is_kept(tmp_path: Path) -> None:
    fgvc_aircraft(tmp_path)
    listing = read(tmp_path / "fgvc-aircraft-2013b", SETTINGS)
    assert listing.splits["validation"].paths == ["images/1000002.jpg", "images/1000000.jpg", "images/1000001.jpg"]


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("variants.txt", 3, "707-320", r"variants\.txt, line 3: '707-320' stands on line 1 already"),
        ("variants.txt", 4, "Cessna_172", r"variants\.txt, line 4: class 'Cessna_172' reads the same as 'Cessna 172'"),
        ("variants.txt", 3, "F-18", r"variant_train\.txt, line 1: expected '<image> <variant>' .*found '.* F/A-18'"),
        ("variants.txt", 4, "Spitfire", r"variants\.txt, line 4: class 'Spitfire' has no training image"),
        ("images_variant_val.txt", 2, "1000000", r"variant_val\.txt, line 2: expected '<image> <variant>'"),
        ("images_variant_val.txt", 2, "1000009 707-320", r"line 2: there is no file .*1000009\.jpg"),
        ("images_variant_val.txt", 2, "0000002 707-320", r"line 2: .* stands in .*variant_train\.txt, line 1 already"),
        ("images_variant_val.txt", 2, "../variants 707-320", r"variant_val\.txt, line 2: .* leads out"),
        ("images_variant_val.txt", 2, None, r"variants\.txt, line 1: class '707-320' has no validation image"),
    ],
)
def test_tables_that_are_wrong_name_the_line(
    tmp_path: Path, file: str, line: int, text: str | None, message: str
) -> None:
    root = fgvc_aircraft(tmp_path)
    edit(root / file, line, text)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy
