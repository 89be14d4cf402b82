"""`--set a.b=c`."""

from typing import Any

import pytest

from pipeline.recipe.overrides import apply_override, parse_override


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
        ("name='3'", ("name",), "3"),
        (" a . b = c ", ("a", "b"), "c"),
    ],
)
def test_a_value_is_yaml(text: str, path: tuple[str, ...], value: Any) -> None:
    override = parse_override(text)
    assert (override.path, override.value, override.mistakes) == (path, value, ())


@pytest.mark.parametrize("text", ["", "seed", "=3", ".a=1", "a..b=1", "a.=1", "a=[1", "a={b: 1, b: 2}", "a=!!set {}"])
def test_what_is_no_override_is_told(text: str) -> None:
    assert parse_override(text).mistakes


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


def test_the_last_one_counts() -> None:
    assert applied({}, "seed=1", "seed=2") == {"seed": 2}


def test_changing_one_default_view_keeps_the_other() -> None:
    assert set(applied({}, "distill.views.edge=null")["distill"]["views"]) == {"edge", "high_frequency"}
    assert set(applied({"distill": {"views": {"edge": {}}}}, "distill.views.edge.strength=0")["distill"]["views"]) == {
        "edge"
    }
