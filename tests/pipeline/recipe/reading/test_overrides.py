"""`--set a.b=c`."""

from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pipeline.recipe import load_recipe
from pipeline.recipe.reading.overrides import apply_override, parse_override
from pipeline.yaml_document import parse_yaml


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("train.lr=1e-3", ("train", "lr"), 0.001),
        ("train.schedule.milestones=[1, 2]", ("train", "schedule", "milestones"), [1, 2]),
        ("teacher.visual.fit={epochs: 3}", ("teacher", "visual", "fit"), {"epochs": 3}),
        ("distill.views.edge=null", ("distill", "views", "edge"), None),
        ("distill.views.edge=", ("distill", "views", "edge"), None),
        ("data.root=/a=b", ("data", "root"), "/a=b"),
        ("student.arguments.act='3'", ("student", "arguments", "act"), "3"),
        (" a . b = c ", ("a", "b"), "c"),
        ("student.arguments.path=a #b", ("student", "arguments", "path"), "a #b"),
        ("student.arguments.path='a' #b", ("student", "arguments", "path"), "'a' #b"),
        ("train.epochs=3 # three", ("train", "epochs"), "3 # three"),
        ("train.schedule.milestones=[1, 2] # two", ("train", "schedule", "milestones"), "[1, 2] # two"),
        ("train.epochs=# none", ("train", "epochs"), "# none"),
        ("data.workers=2", ("data", "workers"), 2),
        ("data.workers=auto", ("data", "workers"), "auto"),
    ],
)
def test_values_of_other_keys_are_yaml(text: str, path: tuple[str, ...], value: Any) -> None:
    override = parse_override(text)
    assert (override.path, override.value, override.mistakes) == (path, value, ())


@pytest.mark.parametrize("text", ["", "seed", "=3", ".a=1", "a..b=1", "a.=1", "a=[1", "a={b: 1, b: 2}", "a=!!set {}"])
def test_malformed_override_is_refused(text: str) -> None:
    assert parse_override(text).mistakes


TEXT_KEYS = ["name", "data.root", "student.weights", "teacher.text.model", "distill.views.edge.kind", "student.sha256"]
TYPED = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
    st.lists(st.sampled_from([*"ab1 #:'\"{}[]\\~,&*!|>%@`=-\t\n", " #", ": ", "é", "ü"]), max_size=12).map("".join),
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(TEXT_KEYS), TYPED)
@example("data.root", "photos #2")
@example("data.root", "yes")
@example("data.root", "1e3")
@example("data.root", "010")
@example("data.root", "a: b")
@example("data.root", "'quoted'")
@example("data.root", '"half')
@example("data.root", "~")
@example("data.root", "{braces}")
@example("data.root", "C:\\new\\table")
@example("data.root", "2024-01-01")
@example("data.root", "null ")
@example("name", "null")
@example("data.root", " two  blanks ")
def test_every_text_survives_as_it_was_typed(key: str, text: str) -> None:
    assume(text not in ("", "null") or key not in ("data.root", "student.sha256"))
    override = parse_override(f"{key}={text}")
    assert (override.value, override.mistakes) == (text, ())
    tree: dict[str, Any] = {}
    apply_override(tree, override)
    for part in key.split("."):
        tree = tree[part]
    assert tree == text


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
@example("photos #2")
@example("~/photos: mine")
def test_a_text_reaches_the_recipe_and_its_lock_as_it_was_typed(text: str) -> None:
    assume(text != "null")
    recipe = load_recipe("quickstart", [f"data.root={text}"]).recipe
    assert recipe.data.root == text
    assert parse_yaml(recipe.to_yaml()).value["data"]["root"] == text


@pytest.mark.parametrize("text", ["data.root=null", "data.root=", "data.labels=null", "student.sha256=null"])
def test_null_is_null_where_the_key_allows_it(text: str) -> None:
    override = parse_override(text)
    assert override.value is None and not override.mistakes


def test_blanks_around_the_sign_are_no_part_of_a_text() -> None:
    assert parse_override("data.root = photos of mine").value == "photos of mine"
    assert parse_override("data.root= photos").value == " photos"


def test_undecodable_byte_is_refused() -> None:
    assert parse_override("data.root=a\udcff").mistakes


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("010", "010 is read as 8, since a leading 0 makes it octal; write 10, or 8 if you mean that"),
        ("1:30", "1:30 is read as 90"),
        ("0b11", "0b11 is read as 3"),
        ("1_000", "1_000 is read as 1000"),
    ],
)
def test_numbers_that_mean_something_else_are_refused(spelling: str, expected: str) -> None:
    (mistake,) = parse_override(f"train.epochs={spelling}").mistakes
    assert mistake.startswith(expected)


def applied(tree: dict[str, Any], *texts: str) -> dict[str, Any]:
    for text in texts:
        apply_override(tree, parse_override(text))
    return tree


def test_sections_are_made_and_others_left_alone() -> None:
    assert applied({"seed": 1}, "train.schedule.kind=cosine") == {"seed": 1, "train": {"schedule": {"kind": "cosine"}}}
    assert applied({"train": {"lr": 1, "epochs": 2}}, "train.lr=3") == {"train": {"lr": 3, "epochs": 2}}
    assert applied({"teacher": {"visual": {"fit": None}}}, "teacher.visual.fit.epochs=3") == {
        "teacher": {"visual": {"fit": {"epochs": 3}}}
    }


def test_last_override_takes_precedence() -> None:
    assert applied({}, "seed=1", "seed=2") == {"seed": 2}


def test_changing_one_default_view_keeps_the_other() -> None:
    assert set(applied({}, "distill.views.edge=null")["distill"]["views"]) == {"edge", "high_frequency"}
    assert set(applied({"distill": {"views": {"edge": {}}}}, "distill.views.edge.strength=0")["distill"]["views"]) == {
        "edge"
    }


def test_changing_a_view_of_a_recipe_that_leaves_them_open_starts_from_the_default_ones() -> None:
    views = applied({"distill": {"views": "auto"}}, "distill.views.edge.strength=0")["distill"]["views"]
    assert set(views) == {"edge", "high_frequency"} and views["edge"]["strength"] == 0
    assert applied({}, "distill.views=auto") == {"distill": {"views": "auto"}}


def test_a_preset_keeps_what_its_section_says() -> None:
    tree: dict[str, Any] = {"train": {"epochs": 3}, "teacher": {"visual": {"fit": None}}}
    for text in ("train=finetune", "teacher.visual.fit=scratch"):
        apply_override(tree, parse_override(text))
    assert tree == {"train": {"epochs": 3, "preset": "finetune"}, "teacher": {"visual": {"fit": "scratch"}}}


def test_a_key_is_added_to_a_preset_that_stands_for_its_section() -> None:
    tree: dict[str, Any] = {"train": "finetune", "teacher": {"visual": {"fit": "scratch"}}}
    for text in ("train.epochs=3", "teacher.visual.fit.epochs=4"):
        apply_override(tree, parse_override(text))
    assert tree["train"] == {"preset": "finetune", "epochs": 3}
    assert tree["teacher"]["visual"]["fit"] == {"preset": "scratch", "epochs": 4}
