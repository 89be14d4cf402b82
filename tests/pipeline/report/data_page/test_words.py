from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from pipeline.data.inspection.found import Found
from pipeline.explain.suspects import LabelSuspects, SuspectList
from pipeline.report.data_page.words import state_of, words_of_data
from tests.pipeline.data.conftest import Data
from tests.pipeline.report.data_page.test_figures import inspection

FAIL: Any = Data()


def test_what_would_stop_a_run_is_said_with_its_remedy() -> None:
    broken = Found(12, [f"{number}.png: empty" for number in range(10)])
    words = words_of_data(replace(inspection(2), unreadable=broken), None, FAIL)
    assert (words.verdict, state_of(words)) == ("A run would stop", "refused")
    assert "A run would stop at unreadable images; --set data.on_error=skip leaves them out." in words.why
    assert words.tables["unreadable"].title == "Unreadable images: 12"
    assert words.tables["unreadable"].rows[-1] == ["and 2 more", ""] and "Found: 12 unreadable images." in words.why
    leaks = words_of_data(replace(inspection(2), leaks={("train", "test"): Found(1, ["a = b"])}), None, FAIL)
    assert "Found: 1 image with the same bytes in another split." in leaks.why
    assert leaks.tables["leaks"].rows == [["a = b", "train in test"]]


def test_what_the_recipe_leaves_out_stops_no_run() -> None:
    both = replace(inspection(2), unreadable=Found(1, ["a: empty"]), leaks={("train", "test"): Found(1, ["a = b"])})
    assert words_of_data(both, None, FAIL).verdict == "A run would stop"
    settings: Any = Data(on_error="skip", on_leak="drop")
    assert words_of_data(both, None, settings).verdict == "Nothing would stop a run"
    refused = words_of_data(replace(both, refusal="class 'a' has no test images"), None, settings)
    assert (
        refused.verdict == "A run would stop" and refused.why[-1] == "A run would stop: class 'a' has no test images."
    )


def test_students_answers_are_told_apart_by_what_it_was_trained_on() -> None:
    asked = LabelSuspects("runs/a", SuspectList(40, 30, 3, ()), SuspectList(0, 0, 0, ()))
    words = words_of_data(inspection(2), asked, FAIL)
    assert words.tables["asked"].rows == [["not trained on", "40", "75.00", "3"], ["trained on", "0", "", "0"]]
    assert "The student contradicts 3 labels." in words.why and "runs/a" in words.notes["suspects"][0]
