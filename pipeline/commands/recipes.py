"""The commands `recipes list`, `recipes show` and `recipes copy`."""

import itertools
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import click

from pipeline.commands.group import LazyGroup
from pipeline.commands.options import PATH, as_json


@click.group(cls=LazyGroup)
def recipes() -> None:
    """The recipes that ship with the package."""


@recipes.command("list")
@as_json("the list")
def list_recipes(as_json: bool) -> None:
    """List the recipes, each with its first line."""
    from pipeline.catalog import find_recipe, recipe_names

    names = recipe_names()
    if as_json:
        from pipeline.streams import echo_json

        first_lines = (find_recipe(name).read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name in names)
        echo_json([{"name": name, "about": line} for name, line in zip(names, first_lines, strict=True)])
        return
    width = max(map(len, names), default=0)
    for name in names:
        first = find_recipe(name).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        begin = itertools.chain([name], itertools.repeat(""))
        for beginning, line in zip(begin, _lines(first, width + 2), strict=False):
            click.echo(f"{beginning:<{width}}  {line}")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _lines(text: str, indent: int) -> list[str]:
    """The text wrapped between words for a terminal; one line anywhere else, where programs read it."""
    if not _is_terminal():
        return [text]
    columns = shutil.get_terminal_size().columns
    return textwrap.wrap(text, max(20, columns - indent), break_long_words=False, break_on_hyphens=False)


@recipes.command("show")
@click.argument("name")
def show_recipe(name: str) -> None:
    """Print the recipe NAME."""
    from pipeline.catalog import find_recipe

    click.echo(find_recipe(name).read_text(encoding="utf-8"), nl=False)


@recipes.command("copy")
@click.argument("name")
@click.argument("dest", type=PATH)
def copy_recipe(name: str, dest: Path) -> None:
    """Copy the recipe NAME to the file or folder DEST.

    Recipes that it extends are merged into the copy. An existing file is not overwritten.
    """
    from exporters.core.errors import UsageError
    from exporters.core.files import create_text
    from pipeline.catalog import find_recipe
    from pipeline.recipe.reading.flatten import flat_text

    source = find_recipe(name)
    target = dest / source.name if dest.is_dir() else dest
    text = flat_text(source)
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", target.stem):
        # Runs go to runs/<name>: a copy of another name must not run over the original's.
        text = re.sub(r"(?m)^name: \S+", f"name: {target.stem}", text, count=1)
    try:
        create_text(target, text)
    except FileExistsError as error:
        raise UsageError(f"{target} exists already", remedy="Choose another name, or remove it first.") from error
    click.echo(f"{target}\nnext: tmkd-pipeline run {shlex.quote(str(target))}")
