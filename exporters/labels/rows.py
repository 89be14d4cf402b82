"""The rows of files of labels and of class names: text, JSON, YAML and CSV, each read as what its name says it is."""

from pathlib import Path

from exporters.core.errors import UnavailableError, UsageError
from exporters.labels.documents import json_rows, yaml_rows
from exporters.labels.row import Row
from exporters.labels.tables import csv_rows, text_rows

_KINDS = {
    "": "text", ".txt": "text", ".text": "text", ".names": "text", ".labels": "text",
    ".json": "JSON", ".yaml": "YAML", ".yml": "YAML", ".csv": "CSV", ".tsv": "CSV",
}  # fmt: skip
KNOWN_KINDS = "text with one a line (.txt), JSON (.json), YAML (.yaml, .yml) or CSV (.csv, .tsv)"
_LARGEST = 2**24  # bytes


def read_rows(path: Path) -> list[Row]:
    """The entries of a file, without a judgement on what they mean.

    Raises:
        UnavailableError: it cannot be read.
        UsageError: its name is of no kind that is known, or it is not what its name says; names the line.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: not a file of labels by its name", remedy=f"Known: {KNOWN_KINDS}.")
    text = _read_text(path)
    readers = {"text": text_rows, "JSON": json_rows, "YAML": yaml_rows, "CSV": csv_rows}
    return readers[kind](path, text)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UnavailableError(f"{path}: no such labels file", remedy="Check the path.") from error
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror}", remedy="Check the path.") from error
    if len(content) > _LARGEST:
        raise UsageError(f"{path}: {len(content):,} bytes are too many for labels", remedy="Is it another file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnavailableError(
            f"{path}: cannot be read: line {line} is not UTF-8 text", remedy="Save it again as UTF-8."
        ) from error
