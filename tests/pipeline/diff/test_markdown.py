"""`diff --markdown`."""

import re
from dataclasses import replace

from pipeline.diff.gates import Allowed, judge
from pipeline.diff.markdown import to_markdown
from pipeline.diff.measure import Measured


def test_markdown_has_verdict_tables_and_images(measured: Measured) -> None:
    text = to_markdown(measured, judge(measured, Allowed(drop=1)))
    assert text.startswith("### 1 of 1 gate failed\n")
    assert "| --max-drop | FAILED | 1 point |" in text and "| top-1, % | 91.67" in text
    assert "<summary>Right to wrong: 10</summary>" in text and "| cat/00000.png | cat | cat | dog |" in text
    assert text.count("<details>") == text.count("</details>") == 3
    assert "|---|---|---:|---:|---|" in text.splitlines()  # figures to the right, the reason to the left
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables and all(line.endswith("|") for line in tables)


def test_names_are_no_markdown(measured: Measured) -> None:
    classes = ("<img src=x>|`a`", "do*g*\u202e", "[owl](http://x)")
    text = to_markdown(replace(measured, labels=replace(measured.labels, classes=classes)), [])
    assert "\u202e" not in text
    assert not re.search(r"(?<!\\)(<img|\]\(http|`a|\*g\*)", text)
    rows = [line for line in text.splitlines() if line.startswith("| cat/")]
    assert rows and all(line.replace("\\|", "").count("|") == 5 for line in rows)
