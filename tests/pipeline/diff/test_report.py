"""`diff --json`."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from exporters.core.files import dump_json
from pipeline.diff.gates import Allowed, judge
from pipeline.diff.measure import Measured
from pipeline.diff.report import FORMAT, to_json


def test_json_has_what_was_measured(measured: Measured) -> None:
    told = json.loads(dump_json(to_json(measured, judge(measured, Allowed(drop=1, larger=1000)))))
    assert told["format"] == FORMAT and told["passed"] is False
    assert {gate["gate"]: gate["passed"] for gate in told["gates"]} == {"--max-drop": False, "--max-larger": True}
    assert told["accuracy"]["old"]["share"] == 55 / 60 and told["accuracy"]["difference"] == pytest.approx(-8 / 60)
    assert (told["old"]["name"], told["new"]["name"]) == ("before", "after")
    assert (told["old"]["image_size"], told["new"]["image_size"]) == (8, 16)
    assert told["labels"]["common"] == 3 and told["data"]["compared"] == 60
    assert [each["class"] for each in told["classes"]] == ["cat", "dog", "owl"]
    assert told["classes"][0]["p_corrected"] == pytest.approx(2 * 0.5**10)
    assert told["latency"]["threads"] == 1 and told["size"]["ratio"] > 0


def test_every_changed_image_is_named_with_both_answers(measured: Measured) -> None:
    changed = to_json(measured, [])["changed"]
    assert len(changed["right_to_wrong"]) == 10 and len(changed["wrong_to_right"]) == 2
    said = Counter((each["class"], each["old"]["label"], each["new"]["label"]) for each in changed["right_to_wrong"])
    assert said == {("cat", "cat", "dog"): 10}
    assert all(0 < each["new"]["probability"] <= 1 for each in changed["right_to_wrong"])


def test_no_gate_and_no_latency(measured: Measured) -> None:
    told = to_json(replace(measured, speed=None), [])
    assert told["passed"] is True and told["gates"] == [] and told["latency"] is None
