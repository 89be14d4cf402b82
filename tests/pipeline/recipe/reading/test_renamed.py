"""Keys under a name that they had before: taken for one minor version, then refused with the new name."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exporters
from pipeline.cli import cli
from pipeline.recipe import load_recipe
from pipeline.recipe.reading import renamed
from pipeline.recipe.reading.flatten import flat_text
from pipeline.recipe.reading.keys import all_paths
from pipeline.recipe.reading.overrides import parse_override
from pipeline.recipe.reading.renamed import RENAMED, Renamed, current_path
from pipeline.yaml_document import dotted, dump_yaml
from tests.pipeline.recipe.reading.conftest import mistakes

Write = Callable[..., Path]
Rename = Callable[..., None]

ENTRIES = (
    Renamed("train.rate", "train.lr", "0.2"),
    Renamed("optim.decay", "train.weight_decay", "0.2"),
    Renamed("pictures", "data", "0.2"),
    Renamed("distill.views.*.power", "distill.views.*.strength", "0.2"),
)

TOLD = "since 0.2, and refused from 0.3 on; write the new name"


@pytest.fixture
def rename(monkeypatch: pytest.MonkeyPatch) -> Rename:
    """Put entries into the table, as if this were a version."""

    def put(version: str = "0.2.0", entries: Sequence[Renamed] = ENTRIES) -> None:
        monkeypatch.setattr(renamed, "RENAMED", tuple(entries))
        monkeypatch.setattr(exporters, "__version__", version)

    return put


def test_table_has_no_entry_that_is_older_than_one_minor_version() -> None:
    for entry in RENAMED:
        assert re.fullmatch(r"\d+\.\d+", entry.since), entry
        assert entry.age <= 1, f"{entry.old}: forget it; its old name has been refused for a whole minor version"
        assert entry.age >= -1, f"{entry.old}: {entry.since} is not the next minor version"


def test_table_leads_from_names_that_are_gone_to_names_that_are_there() -> None:
    known = {dotted(path) for path in all_paths()}
    for entry in RENAMED:
        assert entry.old.count("*") == entry.new.count("*"), entry
        for name, wanted in ((entry.old, False), (entry.new, True)):
            pattern = re.compile(re.escape(name).replace(r"\*", r"[^.]+"))
            assert any(pattern.fullmatch(key) for key in known) is wanted, f"{name} of {entry}"


def test_page_of_recipes_says_whether_a_key_was_renamed() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "recipe.md").read_text("utf-8")
    assert ("No key has been renamed yet." in page) is (not RENAMED)


@pytest.mark.parametrize(
    ("version", "since", "age"),
    [
        ("0.2.0", "0.2", 0), ("0.2.9", "0.2", 0), ("0.3.0", "0.2", 1), ("0.4.1", "0.2", 2), ("0.1.5", "0.2", -1),
        ("1.0.0", "0.9", 1), ("1.1.0", "0.9", 2), ("1.0.0", "1.0", 0), ("0.9.0", "1.0", -1), ("0.10.0", "0.9", 1),
    ],
)  # fmt: skip
def test_age_counts_minor_versions(version: str, since: str, age: int, rename: Rename) -> None:
    rename(version)
    assert Renamed("a", "b", since).age == age


def test_old_name_is_taken_with_a_warning_that_says_where_it_stands(rename: Rename, files: Write) -> None:
    rename()
    path = files(own="seed: 1\ntrain:\n  epochs: 7\n  rate: 0.25\noptim: {decay: 0.5}\npictures:\n  validation: 0.2\n")
    loaded = load_recipe(path)
    assert (loaded.recipe.train.lr, loaded.recipe.train.weight_decay, loaded.recipe.train.epochs) == (0.25, 0.5, 7)
    assert loaded.recipe.data.validation == 0.2
    assert loaded.warnings == (
        f"own/own.yaml:4:3: train.rate: is called train.lr {TOLD}",
        f"own/own.yaml:5:9: optim.decay: is called train.weight_decay {TOLD}",
        f"own/own.yaml:6:1: pictures: is called data {TOLD}",
    )
    assert loaded.origin("train.lr").shown == "own/own.yaml:4:3"
    assert loaded.origin("data.validation").shown == "own/own.yaml:7:3"


def test_recipe_is_the_same_under_either_name(rename: Rename, files: Write) -> None:
    rename()
    new = load_recipe(files(own="train: {lr: 0.25}\ndistill: {views: {edge: {kind: edge, strength: 2.5}}}\n"))
    old = load_recipe(files(own="train: {rate: 0.25}\ndistill: {views: {edge: {kind: edge, power: 2.5}}}\n"))
    assert new.recipe == old.recipe
    assert new.warnings == () and len(old.warnings) == 2
    assert "distill.views.edge.power: is called distill.views.edge.strength" in old.warnings[1]


def test_mistake_in_the_value_stands_at_the_old_key(rename: Rename, files: Write) -> None:
    rename()
    path = files(own="train:\n  epochs: 3\n  rate: fast\n")
    (line,) = mistakes(path)
    assert line.startswith("own/own.yaml:3:3: train.lr: expected a number")


def test_old_name_is_refused_a_minor_version_later(rename: Rename, files: Write) -> None:
    rename("0.3.0")
    path = files(own="train:\n  rate: 0.25\n")
    assert mistakes(path) == ["own/own.yaml:2:3: train.rate: is called train.lr since 0.2; write the new name"]
    assert mistakes("quickstart", "train.rate=1") == [
        "--set train.rate=1: train.rate: is called train.lr since 0.2; write the new name"
    ]


def test_both_names_in_a_file_are_a_mistake(rename: Rename, files: Write) -> None:
    rename()
    path = files(own="train:\n  lr: 0.5\n  rate: 0.25\n")
    assert mistakes(path) == [
        "own/own.yaml:3:3: train.rate: is the name of train.lr before 0.2, which stands in line 2; leave it out"
    ]


def test_fragment_with_an_old_name_is_below_a_recipe_with_the_new_one(rename: Rename, files: Write) -> None:
    rename()
    path = files(own="extends: below.yaml\ntrain: {lr: 0.5}\n", below="train: {rate: 0.25, epochs: 9}\n")
    loaded = load_recipe(path)
    assert (loaded.recipe.train.lr, loaded.recipe.train.epochs) == (0.5, 9)
    (warning,) = loaded.warnings
    assert warning.startswith("own/below.yaml:1:9: train.rate:")
    files(own="extends: below.yaml\ntrain: {rate: 0.5}\n", below="train: {lr: 0.25, epochs: 9}\n")
    assert load_recipe(path).recipe.train.lr == 0.5


def test_old_name_beside_a_preset_by_name(rename: Rename, files: Write) -> None:
    rename()
    loaded = load_recipe(files(own="train: finetune\noptim: {decay: 0.125}\n"))
    assert (loaded.recipe.train.preset, loaded.recipe.train.weight_decay) == ("finetune", 0.125)


def test_value_in_the_place_of_the_section_is_what_is_told(rename: Rename, files: Write) -> None:
    rename()
    (line,) = mistakes(files(own="train: 5\noptim: {decay: 0.125}\n"))
    assert line.startswith("own/own.yaml:1:1: train: expected")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.rate=0.25", ("train", "lr"), 0.25),
        ("train={rate: 0.25, epochs: 3}", ("train",), {"epochs": 3, "lr": 0.25}),
        ("pictures.root=2024", ("data", "root"), "2024"),
        ("distill.views.edge.power=2", ("distill", "views", "edge", "strength"), 2),
        ("distill.views={a: {power: 2}, b: {strength: 3}}", ("distill", "views"),
         {"a": {"strength": 2}, "b": {"strength": 3}}),
        ("distill.views.edge={kind: edge, power: 2}", ("distill", "views", "edge"), {"kind": "edge", "strength": 2}),
    ],
)  # fmt: skip
def test_set_takes_the_old_name(text: str, path: tuple[str, ...], value: Any, rename: Rename) -> None:
    rename()
    override = parse_override(text)
    assert (override.path, override.value, override.mistakes) == (path, value, ())
    assert len(override.warnings) == 1 and "since 0.2, and refused from 0.3 on" in override.warnings[0]


def test_set_in_a_recipe_decides_over_the_file_whatever_the_names(rename: Rename, files: Write) -> None:
    rename()
    for text, override in (("train: {lr: 0.5}", "train.rate=0.25"), ("train: {rate: 0.5}", "train.lr=0.25")):
        loaded = load_recipe(files(own=text), [override])
        assert loaded.recipe.train.lr == 0.25
        assert loaded.origin("train.lr").shown == f"--set {override}"
        assert len(loaded.warnings) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim={decay: 0.5}", f"optim.decay: is called train.weight_decay {TOLD}: --set train.weight_decay=…"),
        ("train={lr: 1, rate: 2}", "train.rate: is the name of train.lr before 0.2; leave it out"),
    ],
)  # fmt: skip
def test_section_that_cannot_be_set_in_one_is_a_mistake(text: str, expected: str, rename: Rename) -> None:
    rename()
    assert parse_override(text).mistakes == (expected,)


def test_lock_of_an_old_run_gives_the_same_recipe(rename: Rename, files: Write) -> None:
    written = load_recipe("quickstart").recipe
    rename()
    values = written.resolved()
    values["train"]["rate"] = values["train"].pop("lr")
    values["pictures"] = values.pop("data")
    path = files(own=dump_yaml(values))
    again = load_recipe(path)
    assert again.recipe == load_recipe(files(own=written.to_yaml())).recipe
    assert len(again.warnings) == 2


def test_flat_recipe_has_the_new_names_and_the_comments_of_the_old(rename: Rename, files: Write) -> None:
    rename()
    path = files(own="extends: below.yaml\nseed: 3\n", below="train:\n  rate: 0.25  # as published\n")
    text = flat_text(path)
    assert "rate" not in text and re.search(r"lr: 0\.25}?  # as published", text)


def test_path_keeps_the_keys_that_stars_stand_for(rename: Rename) -> None:
    rename()
    assert current_path(("distill", "views", "mine", "power", "x")) == ("distill", "views", "mine", "strength", "x")
    assert current_path(("distill", "views", "mine")) == ("distill", "views", "mine")
    assert current_path(("pictures",)) == ("data",)


TREES = st.fixed_dictionaries(
    {},
    optional={
        "train": st.fixed_dictionaries({}, optional={"rate": st.floats(0.01, 1), "epochs": st.integers(50, 90)}),
        "optim": st.fixed_dictionaries({}, optional={"decay": st.floats(0.01, 1)}),
        "pictures": st.fixed_dictionaries({}, optional={"validation": st.floats(0.1, 0.4)}),
    },
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_every_value_arrives_under_its_new_name(tree: dict[str, dict[str, Any]], rename: Rename, files: Write) -> None:
    rename()
    tree = {key: section for key, section in tree.items() if section}
    loaded = load_recipe(files(own=dump_yaml(tree or {"seed": 1})))
    names = {
        "rate": "train.lr",
        "epochs": "train.epochs",
        "decay": "train.weight_decay",
        "validation": "data.validation",
    }
    given_ = {names[key]: value for section in tree.values() for key, value in section.items()}
    whole = loaded.recipe.resolved()
    for name, value in given_.items():
        section, key = name.split(".")
        assert whole[section][key] == value
    assert len(loaded.warnings) == sum(key in names and key != "epochs" for section in tree.values() for key in section)


READERS = {
    "check": "check own/own.yaml",
    "compare": "compare own/own.yaml --methods unknown --run-dir out",
    "data inspect": "data inspect own/own.yaml --sheet out/sheet.png",
    "doctor": "doctor own/own.yaml",
    "plan": "plan own/own.yaml --run-dir out",
    "report": "report own/run",
    "run": "run own/own.yaml --run-dir out",
    "search": "search own/own.yaml --students resnet18 --max-size-mb 1 --budget 1 --run-dir out",
    "track": "track own/run",
    "train": "train own/run --set train.rate=0.1 --set data.dataset=birds_demo --set teacher.visual.weights=no.pth",
}
"""Command → how it reads a recipe with an old name; most of them end at once, since its images are not there."""


def commands(group: click.Group) -> Iterator[tuple[str, set[str]]]:
    """Each command by its words, with the names of what it takes."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((f"{name} {words}", taken) for words, taken in commands(command))
        elif command is not None:
            yield name, {parameter.name or "" for parameter in command.params}


def test_every_command_that_reads_a_recipe_is_held_to_warn() -> None:
    reading = {words for words, taken in commands(cli) if taken & {"recipe", "run_dir", "overrides"}}
    assert reading - {"cache list", "cache prune"} == set(READERS)  # which look at folders alone


@pytest.mark.parametrize("words", READERS.values(), ids=READERS)
def test_each_command_warns_of_an_old_name(
    words: str, rename: Rename, files: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename()
    monkeypatch.setattr("pipeline.doctor.diagnosis.diagnose", lambda *_, **__: [])
    text = "train: {rate: 0.25}\ndata: {dataset: folder, root: nowhere}\n"
    path = files(own=text)
    (path.parent / "run").mkdir()
    (path.parent / "run" / "recipe.lock.yaml").write_text(text)
    told = CliRunner().invoke(cli, words.split()).output.splitlines()
    (warning,) = [line for line in told if "is called" in line]
    assert warning.startswith("WARNING: ") and warning.endswith(f": train.rate: is called train.lr {TOLD}")


def test_check_and_plan_warn_in_one_line(rename: Rename, files: Write, tmp_path: Path) -> None:
    rename()
    path = files(own="extends: below.yaml\n", below="train: {rate: 0.25}\n")
    expected = f"own/below.yaml:1:9: train.rate: is called train.lr {TOLD}"
    told = CliRunner().invoke(cli, ["check", str(path)])
    assert told.exit_code == 0 and f"WARNING: {expected}" in told.output.splitlines()
    found = json.loads(CliRunner().invoke(cli, ["check", str(path), "--json"]).stdout)
    assert found["warnings"] == [expected] and found["mistakes"] == []
    planned = CliRunner().invoke(cli, ["plan", str(path), "--run-dir", str(tmp_path / "run")])
    assert planned.exit_code == 0 and f"WARNING: {expected}" in planned.output
