import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing
from pipeline.data.readers.folder import read
from pipeline.data.readers.labels_table import find_tables
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import images

SETTINGS = Data(labels="labels.csv", test=0.5)
NAMES = ["a.jpg", "b.jpg", "c.jpg", "sub/d.jpg", "sub/e, f.jpg", "g.jpg"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    images(tmp_path, NAMES)
    return tmp_path


def table(root: Path, *rows: str, end: str = "\n", encoding: str = "utf-8") -> Listing:
    (root / "labels.csv").write_bytes("".join(row + end for row in rows).encode(encoding))
    return read(root, SETTINGS)


GIVEN = ("path,label,split", "a.jpg,wren,train", "b.jpg,wood_duck,train", "c.jpg,wren,test", "sub/d.jpg,wood_duck,test")


def test_paths_labels_and_splits_are_read(root: Path) -> None:
    listing = table(root, *GIVEN)
    assert listing.root == root and listing.classes == ["wood duck", "wren"]
    assert listing.splits["train"].paths == ["a.jpg", "b.jpg"] and listing.splits["train"].labels == [1, 0]
    assert listing.splits["test"].paths == ["c.jpg", "sub/d.jpg"] and listing.splits["test"].labels == [1, 0]
    assert set(listing.splits) == {"train", "test"} and listing.official == {}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_line_ends_and_byte_order_marks_change_nothing(
    root: Path, delimiter: str, end: str, encoding: str
) -> None:
    expected = table(root, *GIVEN)
    assert table(root, *(row.replace(",", delimiter) for row in GIVEN), end=end, encoding=encoding) == expected


@pytest.mark.parametrize(
    "header", ["image,class,split", "filename,label,split", " Path , Label , SPLIT ", '"path","label","split"']
)
def test_column_names_have_synonyms(root: Path, header: str) -> None:
    assert table(root, header, *GIVEN[1:]) == table(root, *GIVEN)


def test_quotes_extra_columns_and_blank_lines_are_handled(root: Path) -> None:
    listing = table(
        root,
        'id;"label";"path";note',
        '1;"gull, grey";"./sub/e, f.jpg";"so ""called"""',
        "",
        ";;;",
        '2;"gull, grey";a.jpg;"two\nlines; and more"',
        "3;Zaunkönig;sub//d.jpg;",
        "4; Zaunkönig ;g.jpg;x",
    )
    assert listing.classes == ["Zaunkönig", "gull, grey"]
    assert sorted(p for split in listing.splits.values() for p in split.paths) == [
        "a.jpg", "g.jpg", "sub/d.jpg", "sub/e, f.jpg"
    ]  # fmt: skip


def test_without_splits_a_test_split_is_set_aside(root: Path) -> None:
    rows = ["path,label", *(f"{name},{'xy'[i % 2]}" for i, name in enumerate(n for n in NAMES if "," not in n))]
    listing = table(root, *rows)
    assert {name: len(split) for name, split in listing.splits.items()} == {"train": 2, "test": 3}
    assert table(root, *rows) == listing


def test_val_is_treated_as_in_folders(root: Path) -> None:
    header, *rows = GIVEN
    as_test = table(root, header, *(row.replace(",test", ",Val") for row in rows))
    assert replace(as_test, notes=[]) == table(root, *GIVEN)
    assert as_test.notes == [
        "there is no test split, so that validation is taken for it; validation is split from training"
    ]
    both = table(root, *GIVEN, "g.jpg,wren,validation", '"sub/e, f.jpg",wood_duck,valid')
    assert both.splits["validation"].labels == [1, 0] and both.splits["test"] == as_test.splits["test"]


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "file,label,split", r"line 1: has no column path or image or filename; found 'file, label, split'"),
        (1, "path,kind,split", r"line 1: has no column label or class"),
        (1, "path,image,label", r"line 1: has 'path' and 'image', which are both path"),
        (1, "a.jpg,wren,train", r"line 1: has no column path"),
        (3, "b.jpg,wood_duck", r"line 3: has 2 fields, the header 3"),
        (3, "b.jpg,wood,duck,train", r"line 3: has 4 fields, the header 3"),
        (3, ",wood_duck,train", r"line 3: has an empty path"),
        (3, "b.jpg, ,train", r"line 3: has an empty label"),
        (3, "b.jpg,wood_duck,", r"line 3: expected train, val or test, found ''"),
        (3, "b.jpg,wood_duck,third", r"line 3: expected train, val or test, found 'third'"),
        (3, "a.jpg,wood_duck,train", r"line 3: 'a\.jpg' stands on line 2 already"),
        (3, "./a.jpg,wood_duck,test", r"line 3: 'a\.jpg' stands on line 2 already"),
        (3, "gone.jpg,wood_duck,train", r"line 3: there is no file .*gone\.jpg \(1 of 4 images are missing\)"),
        (3, "sub,wood_duck,train", r"line 3: there is no file .*sub "),
        (3, "../b.jpg,wood_duck,train", r"line 3: '\.\./b\.jpg' leads out of the data set"),
        (3, "sub/../b.jpg,wood_duck,train", r"line 3: .* leads out"),
        (3, "/etc/passwd,wood_duck,train", r"line 3: '/etc/passwd' leads out"),
        (3, "sub\\d.jpg,wood_duck,train", r"line 3: .* has backslashes"),
        (3, "b\x00.jpg,wood_duck,train", r"line 3: 'b\\x00\.jpg' is no path"),
        (3, ".,wood_duck,train", r"line 3: '\.' is no path"),
        (3, "b.jpg,wood\x1b[31mduck,train", r"line 3: class 'wood\\x1b\[31mduck' holds control characters"),
        (3, "b.jpg,wr_en,train", r"line 5: class 'wood_duck' has no training image"),
        (5, "sub/d.jpg,wren,test", r"line 3: class 'wood_duck' has no test image"),
        (3, "b.jpg,\u202ewood duck,train", r"line 3: class '\\u202ewood duck' holds control"),
        (4, 'c.jpg,"wren,test', r"line 4: is not CSV: unexpected end of data"),
        (4, 'c.jpg,"wr"en,test', r"line 4: is not CSV"),
    ],
)  # fmt: skip
def test_a_row_that_is_wrong_names_its_line(root: Path, line: int, text: str, message: str) -> None:
    rows = list(GIVEN)
    rows[line - 1] = text
    with pytest.raises(UnavailableError, match=rf"labels\.csv, {message}") as caught:
        table(root, *rows)
    assert caught.value.exit_code == 4 and caught.value.remedy


def test_labels_that_read_the_same_name_the_line(root: Path) -> None:
    with pytest.raises(UnavailableError, match=r"labels\.csv, line 6: class 'wood_duck' reads the same as 'wood duck'"):
        table(root, *(row.replace("wood_duck", "wood duck") for row in GIVEN), "g.jpg,wood_duck,train")


def test_error_names_the_line_where_the_row_begins(root: Path) -> None:
    with pytest.raises(UnavailableError, match=r"labels\.csv, line 5: there is no file"):
        table(root, "path,label,note", 'a.jpg,wren,"one\ntwo"', "", "gone.jpg,gull,")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), r"labels\.csv, line 1: has no column path"),
        (("path,label,split",), r"labels\.csv: 0 class found"),
        (("path,label,split", "a.jpg,wren,test", "b.jpg,gull,val"), r"labels\.csv: no row has the split train"),
        (("path,label,split", "a.jpg,wren,train", "b.jpg,gull,train"), r"csv: no row has the split test or val"),
        (("path,label", "a.jpg,wren", "b.jpg,wren"), r"labels\.csv: 1 class found"),
        (("path,label", "a.jpg,wren", "b.jpg,gull"), r"class 'gull' has 1 training image: the test split needs one"),
    ],
)  # fmt: skip
def test_a_table_that_gives_no_splits_is_refused(root: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(UnavailableError, match=message):
        table(root, *rows)


def test_text_that_is_not_utf8_names_the_line(root: Path) -> None:
    with pytest.raises(UnavailableError, match=r"labels\.csv, line 3: is not UTF-8"):
        table(root, "path,label", "a.jpg,wren", "b.jpg,Zaunkönig", encoding="latin-1")


def test_missing_table_names_its_expected_location(root: Path) -> None:
    with pytest.raises(UnavailableError, match=rf"data\.labels: there is no file {root}/labels\.csv") as caught:
        read(root, SETTINGS)
    assert "relative to data.root" in str(caught.value)


@pytest.mark.parametrize("name", ["labels.json", "labels.yaml", "labels.xlsx", "labels.parquet"])
def test_a_table_of_another_kind_is_refused_by_name(root: Path, name: str) -> None:
    (root / name).write_text("path,label\na.jpg,wren\n")
    with pytest.raises(UnavailableError, match=f"data.labels: .*{name} is no table by its name") as caught:
        read(root, Data(labels=name, test=0.5))
    assert "CSV" in str(caught.value)


def test_links_to_other_disks_are_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "b.jpg").rename(outside / "b.jpg")
    (root / "b.jpg").symlink_to(outside / "b.jpg")
    assert table(root, *GIVEN).splits["train"].paths == ["a.jpg", "b.jpg"]


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_labels_and_paths_are_compared_in_any_unicode_form(root: Path) -> None:
    images(root, [f"{NFD}/{NFD}1.jpg", f"{NFD}/{NFD}2.jpg"])
    listing = table(
        root,
        "path,label,split",
        f"{NFC}/{NFC}1.jpg,{NFD},train",
        f"{NFC}/{NFD}2.jpg,{NFC},test",
        "b.jpg,tea,train",
        "c.jpg,tea,Testing",
    )
    assert listing.classes == [NFD, "tea"]
    assert listing.splits["train"].paths == [f"{NFD}/{NFD}1.jpg", "b.jpg"]
    assert listing.splits["test"].paths == [f"{NFD}/{NFD}2.jpg", "c.jpg"]
    (note,) = listing.notes
    assert note.startswith(f"{root}/labels.csv, line 3: ") and "differ in their Unicode form alone" in note
    with pytest.raises(UnavailableError, match=r"line 3: .*1\.jpg' stands on line 2 already"):
        table(root, "path,label", f"{NFC}/{NFC}1.jpg,tea", f"{NFD}/{NFD}1.jpg,tea")


def test_labels_that_differ_only_in_blanks_or_case_are_reported(root: Path) -> None:
    rows = ["path,label,split", "a.jpg,wren,train", "b.jpg, Gull,train", "c.jpg, wren,test", "g.jpg, Gull,test"]
    listing = table(root, *rows)
    assert listing.classes == ["Gull", "wren"] and listing.doubts() == []
    (note,) = listing.notes
    assert note == f"{root}/labels.csv, line 4: ' wren' and 'wren' differ in blanks alone, and are one class"
    listing = table(root, *rows, "sub/d.jpg,gull,train", '"sub/e, f.jpg",gull,test')
    assert listing.doubts() == [
        "the classes 'Gull' and 'gull' differ in case or blanks alone; if they are one class, give them the same name"
    ]


FIELD = st.text(
    st.characters(blacklist_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), blacklist_characters="_"), max_size=9
)
LABEL = FIELD.map(lambda text: " ".join(text.split())).filter(bool)


@settings(deadline=None, max_examples=80)
@given(
    labels=st.lists(LABEL, min_size=2, max_size=4, unique=True),
    notes=st.lists(
        st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r"), max_size=12),
        min_size=12,
        max_size=12,
    ),
    delimiter=st.sampled_from([",", ";", "\t"]),
    order=st.permutations(["path", "label", "split", "note"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.booleans(),
    line=st.sampled_from(["\n", "\r\n"]),
)
def test_written_tables_are_read_back(tmp_path_factory, labels, notes, delimiter, order, quoting, mark, line) -> None:
    """Any labels and any text in other columns, as Python's writer puts them (but it leaves a lone \\r unquoted)."""
    root = tmp_path_factory.mktemp("table")
    rows = [
        {"path": f"{part}{i} {delimiter.strip()}.jpg", "label": label, "split": part, "note": notes[(i + 4 * k) % 12]}
        for k, part in enumerate(("train", "val", "test"))
        for i, label in enumerate(labels)
    ]
    images(root, (row["path"] for row in rows))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, order, delimiter=delimiter, quoting=quoting, lineterminator=line)
    writer.writeheader()
    writer.writerows(rows)
    (root / "labels.csv").write_bytes((b"\xef\xbb\xbf" if mark else b"") + stream.getvalue().encode())
    listing = read(root, SETTINGS)
    assert listing.classes == sorted(labels)
    for split, part in (("train", "train"), ("validation", "val"), ("test", "test")):
        found = listing.splits[split]  # type: ignore[index]
        expected = [(row["path"], row["label"]) for row in rows if row["split"] == part]
        assert [(p, listing.classes[k]) for p, k in zip(found.paths, found.labels, strict=True)] == expected


@settings(deadline=None, max_examples=150)
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
       header=st.sampled_from([b"", b"path,label\n", b"path;class;split\n"]))  # fmt: skip
def test_any_content_gives_a_clear_error(tmp_path_factory, content: bytes, header: bytes) -> None:
    root = tmp_path_factory.mktemp("table")
    (root / "labels.csv").write_bytes(header + content)
    with pytest.raises(UnavailableError, match=r"labels\.csv"):  # no image is there
        read(root, SETTINGS)


def test_tables_are_found_by_suffix_and_header(root: Path) -> None:
    for name, text in {
        "labels.csv": "filename;class\na.jpg;wren\n", "b.TSV": "path\tlabel\tsplit\n", "weather.csv": "day,rain\n1,2\n",
        "empty.csv": "", "labels.txt": "path,label\n", ".hidden.csv": "path,label\n",
    }.items():  # fmt: skip
        (root / name).write_text(text)
    (root / "folder.csv").mkdir()
    (root / "binary.csv").write_bytes(b"\xff\xfe\x00path,label")
    assert find_tables(root) == ["b.TSV", "labels.csv"]
