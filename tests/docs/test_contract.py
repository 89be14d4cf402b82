"""docs/contract.md says what the code does."""

import re
from dataclasses import fields

from exporters.bundle.manifest import FORMAT
from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError
from pipeline.runner.record import StageRecord
from tests.docs.markdown import ROOT

TEXT = (ROOT / "docs" / "contract.md").read_text("utf-8")


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)]
    assert codes == [0, *(kind.exit_code for kind in (TmkdError, UsageError, GateError, UnavailableError))]
    assert "| 130, 143 |" in TEXT


def test_format_of_the_bundle_is_the_one_that_is_written() -> None:
    assert set(re.findall(r"tmkd-bundle/\d+", TEXT)) == {FORMAT, "tmkd-bundle/2"}


def test_keys_of_a_stages_record_exist() -> None:
    (row,) = re.findall(r"^\| `stages/<stage>\.json` \| (.+) \|$", TEXT, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", row))
    assert {"status", "fingerprint"} <= named <= {field.name for field in fields(StageRecord)}
