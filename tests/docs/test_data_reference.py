"""docs/data.md names every data set that can be fetched, with its size and counts."""

import re

from exporters.images.decoding import FORMATS
from pipeline.data.prepare.sources import SOURCES
from tests.docs.markdown import ROOT

TEXT = (ROOT / "docs" / "data.md").read_text("utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines())
    if len(cells) == 5
}


def test_every_downloadable_data_set_has_a_row() -> None:
    assert {name for name, data_set in SOURCES.items() if data_set.sources} <= set(ROWS)
    assert all(f"`{name}`" in TEXT for name in SOURCES)


def test_the_rows_are_those_of_the_sources() -> None:
    for name, data_set in SOURCES.items():
        if not data_set.sources:
            continue
        size, classes, images, checked = ROWS[name]
        megabytes = sum(source.megabytes for source in data_set.sources)
        number, unit = size.split()
        documented = float(number) * {"MB": 1, "GB": 1000}[unit]
        assert abs(documented - megabytes) <= 0.06 * megabytes + 50, name
        assert int(classes) == data_set.classes
        counts = [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\d", images)]
        assert counts == [
            data_set.images[split] for split in ("train", "validation", "test") if split in data_set.images
        ]
        assert ("md5" in checked) == all(source.md5 for source in data_set.sources)


def test_documented_formats_match_the_decoded_ones() -> None:
    (formats,) = re.findall(r"whatever their suffix: ([^.]+), and no\n?other kinds", TEXT)
    names = {name.replace(" ", "").upper() for name in re.split(r",\s+|\s+and\s+", formats)}
    assert names == set(FORMATS)
