"""Images in one folder and a table (CSV) of their classes: what `dataset: folder` reads with `data.labels`."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized, path_on_disk
from exporters.images.scan import Scan
from exporters.images.splits import split_of
from pipeline.data.listing import Listing, ReadSettings, SplitName
from pipeline.data.readers.common import notes_on_test, readable_names
from pipeline.data.readers.tables import Place, Rows, read_text
from pipeline.data.splits import stratified_mask

SUFFIXES = ("", ".csv", ".tsv", ".tab", ".txt")
DELIMITERS = (",", ";", "\t")
COLUMNS = {"path": ("path", "image", "filename"), "label": ("label", "class"), "split": ("split",)}
REMEDY = (
    "the table is CSV with a header: path (or image, filename; relative to data.root), label (or class) and, where the "
    "splits are given, split (train, val or test); separated by commas, semicolons or tabs; in UTF-8"
)


def read_labelled(root: Path, labels: str, settings: ReadSettings) -> Listing:
    """List the images of a table.

    `val` is the test split where no row has `test`, else the validation split, as in class folders; without a column
    `split` a test split is set aside. Labels follow the sorted names, as in class folders.

    Args:
        root: the data set's folder, which paths are relative to.
        labels: the table, relative to `root`.
        settings: `test` and `split_seed` are used where the table has no splits.

    Raises:
        UnavailableError: no table, one of another kind by its suffix, or a row that is wrong; names the line.
    """
    path = path_on_disk(root / Path(labels).expanduser())
    if not path.is_file():
        raise UnavailableError(f"data.labels: there is no file {path}", remedy="its path is relative to data.root")
    if path.suffix.lower() not in SUFFIXES:
        raise UnavailableError(f"data.labels: {path} is no table by its name ({path.suffix})", remedy=REMEDY)
    rows: Rows[str] = Rows(root, REMEDY)
    first: dict[str, Place] = {}
    labels_in: dict[str, dict[str, Place]] = {}  # the spellings of each, by the key that they are compared by
    given: set[SplitName] = set()
    for place, split, image, field in _entries(path):
        key = normalized(" ".join(field.split()))
        spellings = labels_in.setdefault(key, {})
        spellings.setdefault(field, place)
        label = " ".join(next(iter(spellings)).split())
        rows.add(place, split or "train", image, label)
        first.setdefault(label, place)
        given |= {split} if split else set()
    if given and "train" not in given:
        raise UnavailableError(f"{path}: no row has the split train", remedy=REMEDY)
    if given and len(given) == 1:
        raise UnavailableError(f"{path}: no row has the split test or val", remedy=REMEDY)
    raw = sorted(first, key=normalized)
    names = readable_names(raw, path, [first[label].number for label in raw])
    splits = rows.splits({label: (first[label], label) for label in raw})
    if not given:
        everything = splits["train"]
        taken = stratified_mask(everything.labels, names, settings.test, settings.split_seed, "test split")
        splits = {"train": everything.select(~taken), "test": everything.select(taken)}
    elif "test" not in splits:
        splits = {"train": splits["train"], "test": splits["validation"]}
    notes = [_one_class(spellings) for spellings in labels_in.values() if len(spellings) > 1]
    if given and "test" not in given:
        notes += notes_on_test({"test": "validation"})
    return Listing(root, names, splits, sampled_test=not given, notes=notes)


def find_tables(root: Path) -> list[str]:
    """Names of the files in a folder that are tables of images by suffix and header, sorted.

    Raises:
        UnavailableError: the folder cannot be listed.
    """
    files, _ = Scan(root).entries(root)
    return [name for name in files if name.lower().endswith((".csv", ".tsv", ".tab")) and _has_columns(root / name)]


def _has_columns(path: Path) -> bool:
    try:
        place, header = next(_records(path), (Place(path, 1), []))
        return bool(_columns(place, header))
    except UnavailableError:
        return False


def _one_class(spellings: Mapping[str, Place]) -> str:
    """Which labels were taken for one."""
    (one, _), (other, place), *_ = spellings.items()
    alike = " ".join(one.split()) == " ".join(other.split())
    how = "blanks" if alike else "their Unicode form"
    return f"{place}: {other!r} and {one!r} differ in {how} alone, and are one class"


def _entries(path: Path) -> Iterator[tuple[Place, SplitName | None, str, str]]:
    """Place, split, path and label of each row; the label as it stands there."""
    records = _records(path)
    place, header = next(records, (Place(path, 1), []))
    column = _columns(place, header)
    for place, record in records:
        if len(record) != len(header):
            raise place.error(f"has {len(record)} fields, the header {len(header)}", REMEDY)
        image, label = record[column["path"]].strip(), record[column["label"]]
        for what, text in (("path", image), ("label", label)):
            if not text.strip():
                raise place.error(f"has an empty {what}", REMEDY)
        split = None
        if "split" in column:
            text = record[column["split"]].strip()
            found = split_of(text)
            split = None if found is None or found[1] else found[0]
            if split is None:
                raise place.error(f"expected train, val or test, found {text[:40]!r}", REMEDY)
        if "\\" in image:
            raise place.error(f"{image[:80]!r} has backslashes", "write paths with forward slashes (/)")
        yield place, split, image, label


def _records(path: Path) -> Iterator[tuple[Place, list[str]]]:
    """The records that hold something, each with the line where it begins."""
    text = read_text(path, REMEDY)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise Place(path, line).error(f"is not CSV: {error}", REMEDY) from error
        if record is None:
            return
        if any(field.strip() for field in record):
            yield Place(path, line), record


def _delimiter(text: str) -> str:
    """The one by which the header has most of the columns that count; values may hold any of them."""
    header = text.lstrip().split("\n", 1)[0].split("\r", 1)[0]
    known = {name for names in COLUMNS.values() for name in names}

    def columns(delimiter: str) -> int:
        return sum(name.strip().casefold() in known for name in next(csv.reader([header], delimiter=delimiter), []))

    return max(DELIMITERS, key=columns)


def _columns(place: Place, header: Sequence[str]) -> dict[str, int]:
    """Position of each column that counts, by what it is for."""
    found = [name.strip().casefold() for name in header]
    column = {}
    for what, names in COLUMNS.items():
        positions = [position for position, name in enumerate(found) if name in names]
        if len(positions) > 1:
            raise place.error(f"has {' and '.join(repr(header[i]) for i in positions)}, which are both {what}", REMEDY)
        if positions:
            column[what] = positions[0]
        elif what != "split":
            raise place.error(f"has no column {' or '.join(names)}; found {', '.join(header)[:80]!r}", REMEDY)
    return column
