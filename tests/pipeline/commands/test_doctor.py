import json

import pytest

from pipeline.doctor import diagnosis
from pipeline.doctor.finding import Finding
from tests.pipeline.conftest import assert_one_clear_error, run_command

FINE = Finding("Python", "ok", "3.12", "not shown", "not shown")
SMALL = Finding("disk", "note", "2 GB free", "little for a cache", "Make room.")
BROKEN = Finding("ONNX Runtime", "fault", "two packages", "what runs is left to chance", "pip uninstall both")


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    found = [FINE, SMALL]
    monkeypatch.setattr(diagnosis, "diagnose", lambda recipe, *, network: iter(found))
    return found


def test_notes_are_shown_with_what_to_do_and_exit_with_0(findings: list[Finding]) -> None:
    outcome = run_command("doctor")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == [
        "ok     Python: 3.12",
        "note   disk: 2 GB free",
        "       little for a cache",
        "       Make room.",
        "no faults",
    ]


def test_fault_exits_with_4_and_is_named(findings: list[Finding]) -> None:
    findings.append(BROKEN)
    outcome = run_command("doctor")
    assert_one_clear_error(outcome, 4)
    assert "1 fault: ONNX Runtime" in outcome.err and "fault  ONNX Runtime: two packages" in outcome.out


def test_report_as_json_is_whole_whether_there_is_a_fault_or_not(findings: list[Finding]) -> None:
    report = json.loads(run_command("doctor", "--json").out)
    assert report == {"healthy": True, "findings": [FINE.to_json(), SMALL.to_json()]}
    findings.append(BROKEN)
    outcome = run_command("doctor", "--json")
    assert outcome.code == 4 and json.loads(outcome.out)["healthy"] is False


def test_recipe_with_a_mistake_is_refused_before_anything_is_looked_at(findings: list[Finding]) -> None:
    outcome = run_command("doctor", "quickstart", "--set", "train.epochs=many")
    assert_one_clear_error(outcome, 2)
    assert outcome.out == ""
    assert_one_clear_error(run_command("doctor", "--set", "train.epochs=2"), 2)
