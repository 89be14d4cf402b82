"""Commands, options, recipes and make targets that the documents name exist."""

import os
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from pipeline.catalog import recipe_names
from pipeline.cli import cli
from pipeline.recipe import load_recipe
from pipeline.recipe.reading.keys import all_paths
from pipeline.yaml_document import dotted
from tests.docs.markdown import DOCUMENTS, ROOT, blocks, name, shell_lines, spans

PROGRAM = "tmkd-pipeline"
FILES = {".json", ".py", ".tar"}
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


def find_command(words: list[str]) -> tuple[click.Command, str, list[str]]:
    """The command that words begin with, its name, and the words after it."""
    command: click.Command = cli
    path = PROGRAM
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"{path} has no command {words[0]!r}"
        command, path, words = found, f"{path} {words[0]}", words[1:]
    return command, path, words


def invocations(document: Path) -> list[list[str]]:
    """The words after the program's name, of each call in a shell block."""
    found = []
    for line in shell_lines(document):
        words = shlex.split(line, comments=True)
        while "&&" in words:
            words = words[words.index("&&") + 1 :]
        if words and words[0] == PROGRAM:
            found.append(words[1:])
    return found


def test_the_documents_are_found_and_give_commands() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/recipe.md"} <= {name(document) for document in DOCUMENTS}
    assert sum(len(invocations(document)) for document in DOCUMENTS) >= 10


@each_document
def test_commands_in_blocks_can_be_typed(document: Path) -> None:
    for words in invocations(document):
        command, path, rest = find_command(words)
        command.make_context(path, list(rest))  # click refuses unknown options, bad choices, missing arguments


@each_document
def test_commands_in_the_text_exist(document: Path) -> None:
    for span in spans(document):
        if span.startswith(f"{PROGRAM} "):
            command, path, rest = find_command(shlex.split(span)[1:])
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            unknown = {word for word in rest if word.startswith("--")} - options
            assert not unknown, f"{path} has no {unknown}"


@each_document
def test_recipes_and_overrides_in_blocks_are_right(document: Path) -> None:
    for words in invocations(document):
        command, path, rest = find_command(words)
        parameters = command.make_context(path, list(rest)).params
        recipe = parameters.get("recipe")
        if recipe is None:
            continue
        if recipe.removeprefix("recipes/").removesuffix(".yaml") in recipe_names():
            load_recipe(recipe, parameters["overrides"])
        else:
            assert recipe in {"my_photos.yaml"}, f"{recipe} does not ship"


def test_the_recipe_of_the_readme_is_right(tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "README.md", "yaml")
    path = tmp_path / "my_photos.yaml"
    path.write_text(code)
    recipe = load_recipe(path).recipe
    assert recipe.name == "my_photos"
    assert recipe.data.root == yaml.safe_load(code)["data"]["root"]


GUIDES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
GUIDE_RECIPES = [
    (name(document), code)
    for document in GUIDES
    for code in blocks(document, "yaml")
    if not code.startswith("# ")  # a file of another kind
]


def test_guides_have_recipes() -> None:
    found = [document for document, _ in GUIDE_RECIPES]
    assert {"docs/tutorial.md", "docs/how-to/own-teacher.md"} <= set(found) and len(found) >= 3


@pytest.mark.parametrize(("document", "code"), GUIDE_RECIPES)
def test_recipes_of_the_guides_are_right(document: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "my_photos.yaml"
    path.write_text(code)
    load_recipe(path)


@each_document
def test_recipe_keys_in_the_text_exist(document: Path) -> None:
    paths = {dotted(path[:length]) for path in all_paths() for length in range(1, len(path) + 1)}
    sections = "|".join(sorted({str(path[0]) for path in all_paths() if len(path) > 1}))
    for span in spans(document):
        if re.fullmatch(rf"(--set )?({sections})(\.[a-z_0-9*]+)+(=.*)?", span) and Path(span).suffix not in FILES:
            key = span.removeprefix("--set ").partition("=")[0].removesuffix(".*")
            assert key in paths, f"no recipe key {key}"


@each_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in [*shell_lines(document), *spans(document)]:
        words = shlex.split(line, comments=True) if line.startswith("make") else []
        if words[:1] == ["make"]:
            named = {word for word in words[1:] if "=" not in word}
            assert named <= targets, f"{name(document)}: no target {named - targets}"


def test_every_target_is_phony_and_described() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    described = set(re.findall(r"^([a-z][a-z-]*):.* ## ", makefile, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert {"quickstart", "install", "test", "test-slow", "lint", "lock", "clean", "help"} <= targets
    assert targets == described == set(phony.split())


def test_ci_runs_lint_tests_and_quickstart() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.findall(r"^make (\S+)$", script.read_text(), re.MULTILINE) == ["lint", "test", "quickstart"]
