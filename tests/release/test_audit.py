"""What is made of a report of pip-audit."""

from typing import Any

import pytest

from release.audit import judge
from release.checking import Failed, Missing


def package(name: str, *known: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [{"id": each, "fix_versions": ["1.1"]} for each in known], **more}


SKIPPED = {"name": "own", "skip_reason": "not found"}


def test_report_without_findings_says_how_many_were_audited() -> None:
    told = judge({"dependencies": [package("a"), package("b"), SKIPPED]})
    assert told == "2 packages, nothing is known of any; 1 were not known"


def test_each_vulnerability_is_a_line() -> None:
    with pytest.raises(Failed) as caught:
        judge({"dependencies": [package("a", "PYSEC-1", "PYSEC-2"), package("b")]})
    assert str(caught.value).splitlines() == ["a 1.0: PYSEC-1, mended in 1.1", "a 1.0: PYSEC-2, mended in 1.1"]


def test_audit_of_nothing_is_no_audit() -> None:
    with pytest.raises(Missing, match="nothing has been audited"):
        judge({"dependencies": [SKIPPED, SKIPPED]})
