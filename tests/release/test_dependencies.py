"""Each dependency has its reason, and the floors that are declared are those that were tried."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LINE = re.compile(r'^    "(?P<requirement>[^"]+)",(?:  # (?P<reason>.+))?$', re.MULTILINE)
OWN = "tmkd-pipeline"


def test_each_dependency_has_its_reason_behind_it() -> None:
    reasons = {match["requirement"]: match["reason"] for match in LINE.finditer(TEXT) if ">" in match["requirement"]}
    wanted = [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]
    for requirement in wanted:
        if Requirement(requirement).name != OWN:
            assert reasons.get(requirement), f"{requirement}: one line in pyproject.toml, with # and its reason behind"


def test_page_of_dependencies_has_each_floor_that_is_declared() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([^`]+)` \| (?:base|`\w+`) \| ([\d.]+) \|", page, re.MULTILINE))
    texts = [*PROJECT["dependencies"], *(each for name, extra in EXTRAS.items() if name != "dev" for each in extra)]
    parsed = [Requirement(text) for text in texts]
    wanted = {(each.name, next(iter(each.specifier)).version) for each in parsed if each.name != OWN}
    assert told == wanted


def test_each_dependency_has_a_floor() -> None:
    for requirement in [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]:
        parsed = Requirement(requirement)
        if parsed.name != OWN:
            assert [each.operator for each in parsed.specifier] == [">="], requirement
