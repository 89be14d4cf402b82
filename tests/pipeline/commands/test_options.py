"""Names on the command line are those of the exporters, which it does not import."""

from collections.abc import Iterator
from typing import Any, get_args

import click
from click.testing import CliRunner

from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.benchmark.targets import PROVIDERS
from exporters.bundle.manifest import ENGINE_SOURCES, GOLDEN_LIMITS, variant_of
from exporters.runtimes import Provider
from pipeline.cli import COMMANDS, cli
from pipeline.commands.options import MODEL_NAMES, PRECISION_NAMES, PROVIDER_NAMES, QUIET
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.registry import STAGES


def test_option_names_match_those_of_the_code() -> None:
    assert tuple(GOLDEN_LIMITS) == tuple(ENGINE_SOURCES) == PRECISION_NAMES
    assert {"fp32", *VARIANT_KINDS} == {*PRECISION_NAMES, *map(variant_of, ENGINE_SOURCES.values())} == set(MODEL_NAMES)
    assert tuple(PROVIDERS) == get_args(Provider) == PROVIDER_NAMES
    assert tuple(stage.name for stage in STAGES) == STAGE_NAMES


def test_help_uses_one_name_for_each_thing() -> None:
    for name in COMMANDS:
        text = CliRunner().invoke(cli, [name, "--help"], terminal_width=100).output
        assert "--providers" not in text
        assert ("--precisions" in text) == (name == "search")  # which makes several files of each student
        assert "FP32" not in text and "CPU," not in text


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


# What prints a file as it is, or logs JSON lines by itself, has neither option.
NEITHER = {"schema", "recipes show", "recipes copy", "serve"}
NOT_QUIET = {
    *("plan", "check", "doctor", "predict", "recipes list", "models list", "models search", "cache list"),
    *("cache prune", "track", *NEITHER),
}
"""Commands whose output is their result, and that have nothing else to say."""


def test_quiet_and_json_mean_the_same_in_each_command() -> None:
    commands = dict(_commands(cli))  # type: ignore[arg-type]
    for name, command in commands.items():
        options = {option: parameter for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (name not in NEITHER), name
        assert ("--quiet" in options) == ("-q" in options) == (name not in NOT_QUIET), name
        if "--json" in options:
            help_ = options["--json"].help  # type: ignore[attr-defined]
            assert help_.startswith("Print ") and help_.endswith(" as JSON; messages go to standard error."), name
        if "-q" in options:
            assert options["-q"] is options["--quiet"] and options["-q"].help == _help(QUIET), name  # type: ignore[attr-defined]


def _help(option: Any) -> str:
    command = click.command()(option(lambda quiet: None))
    return str(command.params[0].help)  # type: ignore[attr-defined]
