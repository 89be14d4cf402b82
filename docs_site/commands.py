"""The page of all commands, from click: usage, arguments, options with their defaults, and exit codes."""

import inspect
import re
from collections.abc import Iterator

import click

from docs_site.tables import code, plain, table
from exporters.core import errors
from pipeline.cli import cli

PROGRAM = "tmkd-pipeline"

_HEAD = f"""\
# Commands

Generated from the command line itself: what `{PROGRAM} <command> --help` prints, with every option and default.
Every command takes `--help`; `--debug` anywhere on the line shows the traceback of an error.
[What the commands print](../terminal.md) is on a page of its own, and so is [what stays stable](../contract.md).

"""


def exit_codes() -> list[tuple[int, str]]:
    """Exit codes of the errors that a user is meant to read, with what each stands for."""
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TmkdError)]
    texts = {kind.exit_code: inspect.cleandoc(kind.__doc__ or "") for kind in classes if kind is not errors.TmkdError}
    return [(number, re.sub(r" \(exit \d\)", "", texts[number])) for number in sorted(texts)]


def commands(group: click.Group = cli, path: str = PROGRAM) -> Iterator[tuple[str, click.Command]]:
    """Each command with what is typed for it, groups before what is in them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def commands_page() -> str:
    """The Markdown of the page."""
    parts = [_HEAD, "## Exit codes\n\n", table(("code", "meaning"), _codes()), "\n"]
    parts += [_section(path, command) for path, command in commands()]
    return "".join(parts)


def _codes() -> Iterator[list[str]]:
    yield ["0", "Done."]
    yield ["1", "An internal error, which is a fault of this program; `--debug` shows where."]
    for number, text in exit_codes():
        yield [str(number), plain(text)]
    yield ["130, 143", "Interrupted by Ctrl-C, ended by SIGTERM: nothing is half-written."]


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## `{path.removeprefix(PROGRAM + ' ')}`\n\n```text\n{usage}\n```\n\n", _help(command.help or "")]
    if isinstance(command, click.Group):
        below = (code(name) for name in command.list_commands(context))
        return "".join([*parts, f"Commands in it, below: {', '.join(below)}.\n\n"])
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    rows = [_row(option, context) for option in options if not option.hidden and "--help" not in option.opts]
    if rows:
        parts.append(table(("option", "value", "default", "meaning"), rows) + "\n")
    return "".join(parts)


def _help(text: str) -> str:
    """The help of a command in Markdown: paragraphs are filled anew, but for those that click is told to leave."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.split("\n")
        if lines[0] == "\b":
            parts.append("```text\n" + "\n".join(lines[1:]) + "\n```\n")
        else:
            parts.append(plain(" ".join(lines)) + "\n")
    return "\n".join(parts) + "\n"


def _row(option: click.Option, context: click.Context) -> list[str]:
    names = ", ".join(code(name) for name in [*option.opts, *option.secondary_opts])
    takes = "" if option.is_flag or option.count else code(option.make_metavar(context).removesuffix(" RANGE"))
    if isinstance(option.type, click.Choice):
        takes = ", ".join(code(str(choice)) for choice in option.type.choices)
    extra = option.get_help_extra(context)
    if "range" in extra:
        takes += f" {bounds(extra['range'])}"
    if option.multiple:
        takes += ", repeatable"
    meaning = plain(option.help or "")
    if extra.get("required"):
        meaning = f"**Required.** {meaning}"
    if variables := extra.get("envvars", option.envvar):
        variables = [variables] if isinstance(variables, str) else variables
        meaning += f" Environment: {', '.join(code(variable) for variable in variables)}."
    return [names, takes or "—", _default(option, context), meaning]


def bounds(text: str) -> str:
    """Click's words for a range, such as `0<=x<=9` or `x>0`, as one reads them in a table."""
    if closed := re.fullmatch(r"([^<=]+)<=x<=([^<=]+)", text):
        return f"{closed[1]} to {closed[2]}"
    for sign, shown in ((">=", "≥"), ("<=", "≤"), (">", ">"), ("<", "<")):
        text = re.sub(rf"(?<![<>=]){sign}(?!=)", f" {shown} ", text)
    return plain(text.removeprefix("x ").strip())


def _default(option: click.Option, context: click.Context) -> str:
    """What holds without the option; a dash where nothing does, or where the option's text says it."""
    value = option.get_default(context)
    if option.is_flag and option.secondary_opts:
        return code((option.opts if value else option.secondary_opts)[-1])
    if (
        value is None
        or value is False
        or value in ((), [], "")
        or not isinstance(value, str | int | float | tuple | list)
    ):
        return "—"
    return code(" ".join(map(str, value)) if isinstance(value, tuple | list) else str(value))
