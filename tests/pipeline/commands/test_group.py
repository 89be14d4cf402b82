import click
from click.testing import CliRunner

from pipeline.cli import COMMANDS, cli
from pipeline.commands.group import LazyGroup

LONG = "Say in many words what could be said in few, and go on until no terminal is wide enough to hold all of it."


def help_of(command: click.Command, *arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.output


def summaries(text: str) -> list[str]:
    return text.split("Commands:\n")[1].split("\n\n", maxsplit=1)[0].splitlines()


def test_each_command_has_a_summary_of_one_whole_line_at_80_columns() -> None:
    for arguments in ([], ["recipes"], ["data"]):
        text = help_of(cli, *arguments)
        assert "…" not in text and "..." not in text.replace("[ARGS]...", "")
        lines = summaries(text)
        assert all(len(line) <= 80 and line[2] != " " and line.endswith(".") for line in lines), lines
        if not arguments:
            assert [line.split()[0] for line in lines] == list(COMMANDS)


def test_a_long_summary_is_wrapped_and_not_cut() -> None:
    group = LazyGroup("tool")
    group.add_command(click.Command("talk", help=f"{LONG}\n\nMore."))
    group.add_command(click.Command("secret", help="Not shown.", hidden=True))
    text = help_of(group)
    assert " ".join(" ".join(summaries(text)).split()).rstrip(".") == f"talk {LONG}".rstrip(".")


def test_a_group_in_a_group_lists_its_commands_too() -> None:
    group = LazyGroup("tool")

    @group.group("inner")
    def inner() -> None:
        """Hold a command."""

    inner.add_command(click.Command("talk", help=LONG))
    assert "…" not in help_of(group, "inner") and "hold" in help_of(group, "inner")


def test_mistyped_command_suggests_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["benchmrak", "x"])
    assert result.exit_code == 2
    assert "No such command 'benchmrak'" in result.output and "benchmark" in result.output
