"""Values of Python become those of a recipe's file, or are refused all at once."""

import enum
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UsageError
from pipeline.recipe.reading.values import plain_values


class Kind(enum.StrEnum):
    ONE = "one"


def test_values_become_those_of_a_file() -> None:
    given = {
        "path": Path("a") / "b",
        "tuple": (1, 2.5, None),
        "numpy": [np.float32(0.5), np.int64(3), np.array([True])],
        "text": Kind.ONE,
        "nested": {"on": True, "off": False},
    }
    found = plain_values(given, "recipe")
    assert found == {
        "path": str(Path("a") / "b"), "tuple": [1, 2.5, None], "numpy": [0.5, 3, True], "text": "one",
        "nested": {"on": True, "off": False},
    }  # fmt: skip
    assert type(found["text"]) is str and [type(value) for value in found["numpy"]] == [float, int, bool]


def test_everything_else_is_refused_at_once() -> None:
    endless: list[object] = []
    endless.append(endless)
    given = {"data": {"root": object(), 3: 4}, "train": {"lr": np.zeros(2)}, "views": {1, 2}, "deep": endless}
    with pytest.raises(UsageError) as refused:
        plain_values(given, "recipe")
    assert refused.value.message.splitlines() == [
        "recipe: data.3: a key is a text, not int",
        "recipe: data.root: object cannot stand in a recipe",
        "recipe: train.lr: ndarray cannot stand in a recipe",
        "recipe: views: set cannot stand in a recipe",
        "recipe: deep.0.0: more than 40 levels",
    ]
