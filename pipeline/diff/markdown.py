"""`diff --markdown`: the report as GitHub and GitLab show it, in a summary of a job or a comment."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from exporters.core.markdown import markdown_table
from exporters.core.visible import visible
from pipeline.diff import tables
from pipeline.diff.gates import Verdict
from pipeline.diff.measure import Measured
from pipeline.diff.report import answer_name
from pipeline.report.page.table import Table

MOST_CLASSES = 50
MOST_IMAGES = 20
"""Of each kind; `--json` has all."""

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")


def to_markdown(measured: Measured, verdicts: Sequence[Verdict]) -> str:
    """The document; names of labels and files are written so that nothing in them is taken for Markdown."""
    return "\n".join(_document(measured, verdicts)) + "\n"


def _document(measured: Measured, verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield f"### {tables.verdict(measured, verdicts)}\n"
    if verdicts:
        yield from _table(tables.gates(verdicts))
    yield from _table(tables.summary(measured))
    yield from (f"- {_escaped(sentence)}" for sentence in tables.sentences(measured))
    yield ""
    classes = tables.classes(measured, MOST_CLASSES)
    if classes.rows:
        yield from _folded(classes.title, _table(classes))
    for title, rows in (("Right to wrong", measured.lost), ("Wrong to right", measured.gained)):
        if len(rows):
            shown = rows[:MOST_IMAGES]
            some = f", of which {len(shown):,} are shown" if len(shown) < len(rows) else ""
            yield from _folded(f"{title}: {len(rows):,}{some}", _table(_images(measured, shown)))


def _images(measured: Measured, rows: np.ndarray) -> Table:
    asked = measured.asked
    cells = [
        [
            str(asked.images[row].relative_to(measured.folder)),
            measured.labels.classes[asked.truth[row]],
            *(answer_name(measured, answers, row) or tables.NONE for answers in (asked.old, asked.new)),
        ]
        for row in rows
    ]
    return Table("", ["image", "class", "old answer", "new answer"], cells, names=4)


def _folded(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"<details><summary>{title}</summary>\n"
    yield from lines
    yield "</details>\n"


def _table(table: Table) -> Iterator[str]:
    yield from markdown_table(table.columns, table.rows, table.names, _escaped, table.texts)
    yield ""


def _escaped(text: str) -> str:
    text = visible(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
