"""The Python API: which names are public, and that importing them loads nothing heavy."""

import subprocess
import sys

import pytest

import pipeline
from exporters.client import Student
from exporters.core import errors
from pipeline import errors as public_errors

PUBLIC = ["Student", "compare", "export", "load_recipe", "run", "verify"]
HEAVY = ("torch", "onnx", "onnxruntime", "torchvision", "matplotlib", "scipy")


def test_these_names_are_public_and_no_others() -> None:
    assert sorted(pipeline.__all__) == PUBLIC
    assert [name for name in dir(pipeline) if not name.startswith("_")] == PUBLIC
    assert all(callable(getattr(pipeline, name)) and getattr(pipeline, name).__doc__ for name in PUBLIC)
    assert pipeline.Student is Student
    scope: dict[str, object] = {}
    exec("from pipeline import *", scope)
    assert sorted(name for name in scope if not name.startswith("_")) == PUBLIC


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = pipeline.train


def test_errors_are_those_that_the_functions_raise() -> None:
    assert sorted(public_errors.__all__) == ["GateError", "TmkdError", "UnavailableError", "UsageError"]
    assert all(getattr(public_errors, name) is getattr(errors, name) for name in public_errors.__all__)


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import pipeline", ("numpy", "pydantic", "PIL", "click", *HEAVY)),
        (f"from pipeline import {', '.join(PUBLIC)}", HEAVY),
        ("from pipeline import load_recipe; load_recipe('quickstart', overrides={'train.epochs': 3})", HEAVY),
    ],
)
def test_importing_and_reading_a_recipe_load_nothing_heavy(statement: str, unwanted: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys\nprint([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
