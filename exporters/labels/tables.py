"""Labels in text, one a line, and in CSV."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from exporters.core.errors import UsageError
from exporters.labels.row import Row, is_index

_DELIMITERS = (",", ";", "\t")
_INDEX_COLUMNS = ("", "index", "id", "idx", "class_id", "class_index", "label_id", "label_index", "number")
_NAME_COLUMNS = ("name", "label", "class", "names", "labels", "classes", "class_name", "label_name", "words")
_NUMBERED_LINE = re.compile(r"(\d{1,9})[,;:.\s]")


def text_rows(path: Path, text: str) -> list[Row]:
    """Each line, without blanks around it; refuses what is plainly JSON, YAML or numbered lines under a wrong name."""
    lines = [line.strip(" \t") for line in re.split(r"\r\n|\n|\r", text)]
    while lines and not lines[-1]:
        lines.pop()
    rows = [Row(None, (line,), number) for number, line in enumerate(lines, start=1)]
    looks = None
    if lines and lines[0][:1] in ("[", "{") and lines[-1][-1:] in ("]", "}"):
        looks = "JSON: call it .json"
    elif len(lines) > 1 and all(line.startswith("- ") for line in lines):
        looks = "YAML: call it .yaml"
    elif len(lines) > 1 and [_number(line) for line in lines] in (
        list(range(len(lines))), list(range(1, len(lines) + 1))
    ):  # fmt: skip
        looks = "numbered, so that the numbers would be part of the labels: call it .csv (0,cat) or .yaml (0: cat)"
    if looks is not None:
        raise UsageError(f"{path}: in a text file each line is a label, and these look like {looks}", remedy=_AS_LIST)
    return rows


_AS_LIST = "If they are meant as they stand, write them as a JSON list."


def _number(line: str) -> int | None:
    match = _NUMBERED_LINE.match(line)
    return int(match.group(1)) if match is not None else None


def csv_rows(path: Path, text: str) -> list[Row]:
    """The records of one column, or of those that hold index (or key) and name; a header is none of them."""
    records = list(_records(path, text))
    if not records:
        raise UsageError(f"{path}: is empty", remedy="Write a label on each line, or index,label.")
    width = len(records[0][1])
    for line, record in records:
        if len(record) != width:
            raise UsageError(
                f"{path}, line {line}: has {len(record)} fields, the first line {width}",
                remedy='A label that holds the separator stands in quotes: "tench, Tinca tinca".',
            )
    header = [name.casefold() for name in records[0][1]]
    if width == 1:
        body = records[1:] if header[0] in _NAME_COLUMNS else records
        return [Row(None, (record[0],), line) for line, record in body]
    index, name, begins = _columns(path, header, [record for _line, record in records])
    rows, seen = [], dict[str, int]()
    for line, record in records[begins:]:
        key = record[index]
        first = seen.setdefault(key, line)
        if first != line:
            raise UsageError(f"{path}: {key!r} stands on lines {first} and {line}", remedy="Each may stand once.")
        rows.append(Row(key, (record[name],), line))
    return rows


def _columns(path: Path, header: Sequence[str], records: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    """Position of the index and of the name, and the record with which the rows begin."""
    indices = [place for place, name in enumerate(header) if name in _INDEX_COLUMNS]
    names = [place for place, name in enumerate(header) if name in _NAME_COLUMNS]
    if len(indices) == 1 and len(names) == 1:
        return indices[0], names[0], 1
    if len(header) == 2:
        for begins in (0, 1):
            numbered = [
                place for place in (0, 1) if all(is_index(record[place]) for record in records[begins:])
            ]  # fmt: skip
            if len(numbered) == 1 and len(records) > begins:
                return numbered[0], 1 - numbered[0], begins
        begins = 1 if set(header) <= {*_NAME_COLUMNS, "code", "wnid", "synset", "key"} else 0
        return 0, 1, begins
    raise UsageError(
        f"{path}: has {len(header)} columns, and not which hold index and label ({', '.join(header)[:80]})",
        remedy="Write two columns, index,label, or call them so in the first line.",
    )


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The records that hold something, each with the line where it begins."""
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise UsageError(f"{path}, line {line}: is not CSV: {error}", remedy="Check its quotes.") from error
        if record is None:
            return
        if any(field.strip() for field in record):
            yield line, [field.strip() for field in record]


def _delimiter(text: str) -> str:
    """The one that splits the first record into most fields."""
    first = text.lstrip().split("\n", 1)[0].rstrip("\r")
    try:
        return max(_DELIMITERS, key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
    except csv.Error:
        return _DELIMITERS[0]
