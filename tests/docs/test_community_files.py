"""Files that hosts and tools of the field look for: they say what is so, and can be read by what reads them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporters

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_citation_is_of_this_version_and_licence() -> None:
    citation, project = read("CITATION.cff"), tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert str(citation["version"]) == exporters.__version__
    assert citation["title"] == project["name"] and citation["license"] == project["license"]
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in project["authors"]]
    assert {"message", "abstract"} <= set(citation)


def test_hooks_run_the_commands_of_make_lint() -> None:
    lint = (ROOT / "Makefile").read_text("utf-8").replace("$(BIN)", ".venv/bin")
    [local] = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"  # versions of tools have one home, requirements.lock
    for hook in local["hooks"]:
        assert hook["entry"].removesuffix(" --force-exclude") in lint, hook["entry"]
        assert hook["language"] == "system"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_issue_form_has_what_the_host_asks_for(form: Path) -> None:
    content = yaml.safe_load(form.read_text("utf-8"))
    if form.stem == "config":
        assert content == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(content)
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)
