"""A group of commands that are imported when they are used."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

_NEVER_CUT = 10_000


class LazyGroup(click.Group):
    """A click group that imports a command only to run it or to show its help.

    The list of commands has them in the order in which they were registered, and no summary is cut short.

    Args:
        lazy: name of a command → where it is, as `module:attribute`.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of their registration."""
        return list(dict.fromkeys([*self._lazy, *self.commands]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported if need be; None where there is none."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name].partition(":")
            command = getattr(import_module(module), attribute)
            assert isinstance(command, click.Command)
            self.add_command(command, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click has it; for a name that is none of ours, click suggests those that are near."""
        if self.get_command(ctx, args[0]) is None:
            for name in self._lazy:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its summary; a long one is wrapped where click would cut it."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(_NEVER_CUT))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


LazyGroup.group_class = type  # a group in a group is of this class too
