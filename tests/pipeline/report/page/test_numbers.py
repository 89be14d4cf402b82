import csv
import io
import json

import numpy as np

from pipeline.explain.cost import Cost, Costs
from pipeline.explain.evidence import Answers, Evidence, ViewEvidence
from pipeline.report.page.numbers import numbers
from tests.pipeline.report.page.made_up import ended_at, validated

NAMES = ['ant, "red"', "猫"]
LABELS, ANSWERS = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_classes_and_confusions_are_there_in_full() -> None:
    found = dict(numbers(validated(NAMES, LABELS, ANSWERS), None, None))
    assert set(found) == {"classes.csv", "confusions.csv"}
    assert [row[:4] for row in rows(found["classes.csv"])[1:]] == [[NAMES[0], "3", "1", "1"], ["猫", "1", "3", "1"]]
    assert rows(found["confusions.csv"]) == [["class", "taken_for", "images"], [NAMES[0], "猫", "2"]]


def test_weights_of_the_views_are_means_of_the_sample() -> None:
    views = ViewEvidence(("rgb", "edge"), np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]), np.zeros((1, 2, 2, 2, 3)))
    answers = Answers("student", np.zeros((3, 2)), np.zeros((3, 2)), None)
    top1 = {"student": {"clean": {"0": 0.5}}}
    seen = Evidence(
        np.arange(3), np.array([0, 0, 1]), (0, 1), np.array([0]), np.zeros(0), {"student": answers}, views, top1, 3
    )
    found = dict(
        numbers(validated(NAMES, LABELS, ANSWERS), seen, Costs([Cost("student", "x", 1, 2, 3.0, None, None)], 1, "cpu"))
    )
    assert rows(found["view_weights.csv"])[1:] == [[NAMES[0], "2", "0.3", "0.7"], ["猫", "1", "0.9", "0.1"]]
    assert json.loads(found["corruptions.json"]) == {"images": 3, "top1": top1}
    assert json.loads(found["costs.json"])["networks"][0]["macs"] == 3.0


def test_run_that_was_not_validated_has_no_files() -> None:
    assert list(numbers(ended_at(validated(NAMES, LABELS, ANSWERS), "distill"), None, None)) == []
