"""The report of `diff` on a terminal."""

from collections.abc import Sequence

from pipeline.console import Console
from pipeline.diff import tables
from pipeline.diff.gates import Verdict
from pipeline.diff.measure import Measured

_CLASSES = 10


def report_diff(measured: Measured, verdicts: Sequence[Verdict], console: Console) -> None:
    """Print both bundles side by side, the classes that changed, what there is to say, and the gates."""
    summary = tables.summary(measured)
    console.table(summary.title, summary.columns, summary.rows)
    classes = tables.classes(measured, _CLASSES)
    if classes.rows:
        console.table(classes.title, classes.columns, classes.rows)
    for sentence in tables.sentences(measured):
        console.say(sentence)
    for verdict in verdicts:
        line = f"{verdict.gate} {verdict.allowed:g}: {'passed' if verdict.passed else 'failed'}: {verdict.why}"
        if verdict.passed:
            console.say(line)
        else:
            console.warn(line)
