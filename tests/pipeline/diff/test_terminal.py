"""The report of `diff` on a terminal."""

import io

from pipeline.console import Console
from pipeline.diff.gates import Allowed, judge
from pipeline.diff.measure import Measured
from pipeline.diff.terminal import report_diff


def test_report_has_tables_sentences_and_gates(measured: Measured) -> None:
    stream = io.StringIO()
    report_diff(measured, judge(measured, Allowed(drop=1, larger=1000)), Console(stream, plain=True))
    text = stream.getvalue()
    assert "Old and new on 60 images" in text and "cat" in text
    assert "--max-drop 1: failed: accuracy changed by -13.33 points" in text and "--max-larger 1000: passed" in text
