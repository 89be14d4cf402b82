"""Which label of a file belongs to which logit."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from exporters.core.errors import UsageError
from exporters.core.names import normalized
from exporters.labels.row import Row, is_index
from exporters.labels.rows import read_rows
from exporters.student.student import check_labels


def read_labels(path: Path) -> list[str]:
    """Labels in the order of the logits.

    Text has one a line. JSON and YAML hold a list, `{index: label}`, `{label: index}` or `{index: [code, label]}`, also
    below `names`, `labels`, `classes` or `id2label`. CSV has one column, or an index and a name, with a header or not.
    Two classes of one name but of different codes are distinguished by these: `crane (n02012849)`.

    Raises:
        UnavailableError: it cannot be read.
        UsageError: no such file of labels, or not two or more different ones; names the lines.
    """
    rows = _in_order(path, read_rows(path))
    labels = _distinct([row.values for row in rows])
    first: dict[str, Row] = {}
    for row, label in zip(rows, labels, strict=True):
        if not label.strip():
            raise UsageError(f"{path}, line {row.line}: a label is missing", remedy="Each class has one, on each line.")
        if len(label.splitlines()) != 1:
            raise UsageError(
                f"{path}, line {row.line}: bad label {label[:60]!r}", remedy="A label is one line of text."
            )
        other = first.setdefault(normalized(label), row)
        if other is not row:
            where = f"on lines {other.line} and {row.line}" if other.line != row.line else f"twice on line {row.line}"
            raise UsageError(
                f"{path}: the label {label!r} stands {where}",
                remedy="Two classes cannot have one name.",
            )
    try:
        return check_labels(labels)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", remedy=error.remedy) from error


def _in_order(path: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows in the order of the classes, with the label alone as their value."""
    if not rows or rows[0].key is None:
        return list(rows)
    by_key = _placed([row.key or "" for row in rows])
    by_value = _placed([row.values[0] for row in rows]) if all(row.whole for row in rows) else None
    if path.suffix.lower() == ".json" and all(row.whole for row in rows):
        by_key = None  # keys of JSON are always texts; a number stands for itself
    if by_key is not None and by_value is not None and by_key != by_value:
        raise UsageError(
            f"{path}: both sides are numbers, and either may be the index", remedy="Write a list of labels."
        )
    if by_key is not None:
        return [rows[place] for place in by_key]
    if by_value is not None:
        labelled = [rows[place] for place in by_value]
        return [Row(None, (row.key or "",), row.line) for row in labelled]
    indices = [row.values[0] if all(row.whole for row in rows) else row.key or "" for row in rows]
    found = [index for index in indices if is_index(index)]
    if len(found) == len(indices) and sorted(map(int, found)) == list(range(1, len(found) + 1)):
        raise UsageError(f"{path}: its indices begin at 1, not at 0", remedy="The logits are counted from 0.")
    raise UsageError(
        f"{path}: its indices are not 0 to {len(rows) - 1}, each once",
        remedy="Each class has an index, which is the place of its logit, from 0.",
    )


def _placed(indices: Sequence[str]) -> list[int] | None:
    """For each class the place of its row; None where the indices are not 0 to N-1, each once."""
    if not all(map(is_index, indices)) or sorted(map(int, indices)) != list(range(len(indices))):
        return None
    return sorted(range(len(indices)), key=lambda place: int(indices[place]))


def _distinct(values: Sequence[tuple[str, ...]]) -> list[str]:
    """The last text of each; with its code where two classes have the same."""
    labels = [texts[-1] for texts in values]
    twice = {label for label, count in Counter(labels).items() if count > 1}
    return [
        f"{label} ({texts[0]})" if label in twice and len(texts) > 1 else label
        for label, texts in zip(labels, values, strict=True)
    ]
