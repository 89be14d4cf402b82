"""Whole pages of runs that are out of the ordinary, from made-up facts: nothing is trained, and no network is asked."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from pipeline.explain.cost import Cost, Costs
from pipeline.recipe import load_recipe
from pipeline.report.page.facts import Facts
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.figures.from_facts import figures_of_files
from pipeline.report.page.render import render
from pipeline.report.page.steps import page_steps
from pipeline.report.page.words import words
from pipeline.runner.record import StageRecord
from pipeline.stages.registry import STAGES
from tests.pipeline.report.page.made_up import ended_at, validated

NAMES = ["a", "b", "c"]
LABELS, ANSWERS = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
RUN = validated(NAMES, LABELS, ANSWERS)


def drawn(facts: Facts) -> dict[str, Drawn]:
    with page_steps(0) as steps:
        return steps.draw(figures_of_files(facts))


def page(facts: Facts, figures: dict[str, Drawn], costs: Costs | None = None) -> str:
    recipe = load_recipe("quickstart").recipe
    text = words(facts, recipe, "runs/it", (10, 40), None, costs)
    return render("it", facts.state, text, figures, {}, None)


def fits_together(found: str) -> bool:
    """Every link has its target, every section in the navigation is there, and names of elements are used once."""
    links, ids = re.findall(r'href="#([^"]+)"', found), re.findall(r'\bid="([^"]+)"', found)
    return set(links) <= set(ids) and len(ids) == len(set(ids))


def test_every_figure_tells_its_numbers_to_a_screen_reader() -> None:
    for name, figure in drawn(RUN).items():
        label = ElementTree.fromstring(figure.svg).get("aria-label")
        assert label and re.search(r"\d", label), name


def test_two_classes_have_all_figures() -> None:
    labels = np.array([0, 0, 1, 1])
    facts = validated(["cat", "dog"], labels, np.array([0, 1, 1, 1]))
    figures = drawn(facts)
    assert {"class-accuracy", "confusion-matrix", "reliability"} <= set(figures)
    assert "confusion-closeup" not in figures and "class-spread" not in figures
    assert "75.0 % of the images are right. Most often taken: cat for dog (1 of 2)." in figures["confusion-matrix"].svg
    assert fits_together(page(facts, figures))


def test_thousand_classes_are_drawn_together_and_those_that_are_mixed_up_apart() -> None:
    classes, labels = [f"class {number:03}" for number in range(1000)], np.repeat(np.arange(1000), 2)
    answers = labels.copy()
    answers[:80:2] = (answers[:80:2] + 1) % 1000
    facts = validated(classes, labels, answers)
    figures = drawn(facts)
    closeup = [
        "".join(text.itertext())
        for text in ElementTree.fromstring(figures["confusion-closeup"].svg).iter()
        if text.tag.endswith("text")
    ]
    assert {"class 000", "class 001"} <= set(closeup)
    assert "(10 to a cell)" in figures["confusion-matrix"].svg and "class-spread" in figures
    found = page(facts, figures)
    assert found.count('<th scope="row" dir="auto">class ') >= 1000 and len(found.encode()) < 2e6
    assert fits_together(found)


ODD_NAMES = [
    "ein sehr langer Name " * 12,
    "x" * 250,
    "三毛猫",
    "قطة صغيرة",
    "חתול שחור",
    "😀👩\u200d👧 smile",
    "e\u0301clair",
    "แมว",
    "a & b <i>",
    "$5 and $6",
    "50 % {off} \\n",
]


def test_names_of_all_scripts_stand_in_tables_and_figures_as_text() -> None:
    labels = np.arange(len(ODD_NAMES))
    facts = validated(ODD_NAMES, labels, np.roll(labels, 1))
    figures = drawn(facts)
    found = page(facts, figures)
    for name in ODD_NAMES:
        assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in found
    shown = " ".join(ElementTree.fromstring(figures["class-accuracy"].svg).itertext())
    for name in ("三毛猫", "قطة صغيرة", "חתול שחור", "แมว", "a & b <i>", "$5 and $6"):
        assert name in shown
    assert fits_together(found)


def test_characters_that_turn_the_direction_never_reach_the_page() -> None:
    classes = ["abc\u202edef", "g\u2066h", "plain"]
    found = page(facts := validated(classes, LABELS, ANSWERS), drawn(facts))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", found)
    assert "abc\\u202edef" in found and "g\\u2066h" in found


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
@pytest.mark.parametrize("status", ["running", "failed"])
def test_page_of_a_run_that_ended_in_any_stage(stage: str, status: str) -> None:
    facts = ended_at(RUN, stage, status=status, message="the disk is full" if status == "failed" else "")
    facts = replace(facts, state="failed" if status == "failed" else "unfinished")
    found = page(facts, {})
    assert fits_together(found)
    if status == "failed":
        assert "Failed" in found and "The disk is full." in found
    else:
        assert "Not finished" in found and f"Next: {stage}." in found
    assert ('id="classes"' in found) is (facts.verdict is not None)
    assert "tmkd-pipeline run runs/it/recipe.lock.yaml --run-dir runs/it" in found


def test_refused_student_is_there_with_its_parameters_and_by_how_much_it_missed() -> None:
    gate = {"key": "validate.min_top1", "measured": 0.75, "bound": 0.9, "passed": False}
    refused = StageRecord("validate", "failed", "0", message="the student does not pass", gate=True)
    verdict = {**(RUN.verdict or {}), "passed": False, "gates": [gate]}
    facts = replace(ended_at(RUN, "export"), state="refused", ended_at="validate", verdict=verdict)
    facts = replace(facts, records={**facts.records, "validate": refused})
    costs = Costs([Cost("student", "PyTorch", 12_345, 67_000_000, 1e6, 1.0, 2.0)], 2, "cpu")
    found = page(facts, drawn(facts), costs)
    assert "Refused: a gate failed" in found and "The student does not pass." in found
    assert re.search(r"\(chosen, refused\)</th><td>.*<td>12,345</td><td>67.00 MB</td>", found)
    assert re.search(r"validate.min_top1</th><td>0.75</td><td>0.9</td><td>failed</td>", found)
