"""The page of commands says what `--help` says."""

import re

import click
import pytest
from click.testing import CliRunner

from docs_site.commands import bounds, commands, commands_page, exit_codes
from exporters.core.errors import GateError, UnavailableError, UsageError
from pipeline.cli import COMMANDS, cli

PAGE = commands_page()
SECTIONS = dict(re.findall(r"^## `([^`\n]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
NAMES = [path.removeprefix("tmkd-pipeline ") for path, _ in commands()]


def test_every_command_has_a_section_in_the_order_of_help() -> None:
    assert list(SECTIONS) == NAMES
    assert [name for name in NAMES if " " not in name] == list(COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_section_has_every_option_that_help_prints(name: str) -> None:
    printed = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="tmkd-pipeline", terminal_width=200).output
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*(?=[ ,/]|$)", printed.partition("Options:")[2], re.MULTILINE))
    shown = set(re.findall(r"`(--[a-z][\w-]*)`", SECTIONS[name]))
    listed = {option for line in printed.partition("Options:")[2].splitlines() for option in first_column(line)}
    assert listed - {"--help"} <= shown and "--help" not in shown
    assert shown <= options | listed
    usage = re.search(r"Usage: (.+)", printed)
    assert usage is not None and usage[1] in SECTIONS[name]


def first_column(line: str) -> list[str]:
    """The options that a line of help begins with."""
    entry = re.match(r"  ((?:-\w, )?--\S.*?)(?:  |$)", line)
    return re.findall(r"--[a-z][\w-]*", entry[1]) if entry else []


def test_defaults_ranges_and_choices_are_those_of_click() -> None:
    assert "| `--port` | `INTEGER` 0 to 65535 | `8000` |" in SECTIONS["serve"]
    assert "| `--timeout` | `FLOAT` > 0 | `30.0` |" in SECTIONS["serve"]
    assert "| `--provider` | `cpu`, `cuda`, `tensorrt` | `cpu` |" in SECTIONS["serve"]
    assert "| `--report`, `--no-report` | — | `--report` |" in SECTIONS["run"]


def test_no_cell_is_empty_code() -> None:
    assert "``" not in PAGE.replace("```", "")


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = dict(exit_codes())
    assert sorted(codes) == sorted(kind.exit_code for kind in (UsageError, GateError, UnavailableError))
    assert click.UsageError("x").exit_code in codes
    for number, text in codes.items():
        assert f"| {number} | {text} |" in PAGE


@pytest.mark.parametrize(
    ("range_of_click", "shown"),
    [("0<=x<=9", "0 to 9"), ("x>=1", "≥ 1"), ("x>0", "> 0"), ("0<x<=1", "0 &lt; x ≤ 1"), ("x<5", "&lt; 5")],
)
def test_ranges_read_as_in_a_table(range_of_click: str, shown: str) -> None:
    assert bounds(range_of_click) == shown
