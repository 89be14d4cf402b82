"""The report of `diff` in words and tables."""

from dataclasses import replace

from pipeline.diff import tables
from pipeline.diff.gates import Allowed, judge
from pipeline.diff.labels import match_labels
from pipeline.diff.measure import Measured, OneSided
from pipeline.diff.moved import Moved
from pipeline.diff.pairs import Pair


def test_headline_says_what_is_beyond_chance(measured: Measured) -> None:
    def said(gained: int, lost: int, p: float) -> str:
        return tables.headline(replace(measured, overall=Pair(100, 50, 50 + gained - lost, gained, lost, p)))

    assert "worse in accuracy, beyond chance" in said(2, 20, 0.001)
    assert "better in accuracy, beyond chance" in said(20, 2, 0.001)
    assert said(2, 5, 0.4) == "No difference in accuracy beyond chance"


def test_sentences_tell_figures_and_classes(measured: Measured) -> None:
    text = "\n".join(tables.sentences(measured))
    assert "-13.33 points" in text and "10 changed from right to wrong and 2 from wrong to right" in text
    assert "answers worse, beyond chance: cat (-50.0 points)" in text
    assert "with 1 thread" in text and "labels" not in text


def test_sentences_tell_of_labels(measured: Measured) -> None:
    labels = match_labels(["cat", "dog_x", "owl"], ["cat", "dog x", "wren"])
    changed = replace(
        measured,
        labels=labels,
        removed=OneSided(20, 15),
        moved=[Moved("owl", "wren", 20, 18, True), Moved("cat", "dog x", 20, 20, False)],
    )
    text = "\n".join(tables.sentences(changed))
    assert "taken as one: dog_x → dog x" in text
    assert "removed: owl. Their 20 images were not compared; the old bundle has 15 of them right." in text
    assert "added: wren. No image is of these." in text
    assert "Looks renamed: the new bundle calls 18 of 20 images of owl wren. --rename 'owl'='wren'" in text
    assert "labels in another order: the new bundle calls 20 of 20 images of cat dog x" in text


def test_summary_has_both_side_by_side(measured: Measured) -> None:
    rows = {row[0]: row[1:] for row in tables.summary(measured).rows}
    assert rows["top-1, %"] == ["91.67 (81.9–96.4)", "78.33 (66.4–86.9)", "-13.33"]
    assert rows["image size"] == ["8", "16", ""] and rows["parameters"][2] == "0.0 %"
    unknown = {row[0]: row[1:] for row in tables.summary(replace(measured, new_confidence=None)).rows}
    assert unknown["ECE, %"][1:] == ["—", ""]


def test_classes_that_changed_most_certainly_come_first(measured: Measured) -> None:
    assert [row[0] for row in tables.classes(measured).rows] == ["cat", "owl", "dog"]
    few = tables.classes(measured, 1)
    assert [row[0] for row in few.rows] == ["cat"] and "(1 of 3)" in few.title
    assert few.rows[0][1:5] == ["20", "100.0", "50.0", "-50.0"]


def test_gates_are_told_with_units(measured: Measured) -> None:
    rows = tables.gates(judge(measured, Allowed(drop=1, larger=1000))).rows
    assert [row[:3] for row in rows] == [
        ["--max-drop", "FAILED", "1 point"], ["--max-larger", "passed", "1000 %"],
    ]  # fmt: skip
    assert tables.verdict(measured, judge(measured, Allowed(drop=1))) == "1 of 1 gate failed"
    assert tables.verdict(measured, judge(measured, Allowed(larger=1000))) == "All gates passed"
