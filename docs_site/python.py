"""The page of the Python API: what `pipeline` gives away, which mkdocstrings describes from the docstrings."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pipeline
import pipeline.errors

_HEAD = """\
# Python API

The names of `pipeline` and `pipeline.errors`, and what their calls return, from the docstrings;
[From Python](../python.md) shows how they are used.
Everything else is internal and may change at any time ([compatibility](../contract.md)).

"""


def public() -> list[str]:
    """Where the public names are defined, in their order; after a name, the types of ours that it returns."""
    given = [getattr(module, name) for module in (pipeline, pipeline.errors) for name in module.__all__]
    found: dict[str, None] = {}
    for each in given:
        found[path(each)] = None
        members = vars(each).items() if inspect.isclass(each) else [("", each)]
        for function in (member for name, member in members if not name.startswith("_")):
            found |= dict.fromkeys(path(kind) for kind in returned(function))
    return list(found)


def path(each: Any) -> str:
    """The full name of a class or function."""
    return f"{each.__module__}.{each.__qualname__}"


def returned(function: Callable[..., Any]) -> Iterator[type]:
    """The types of ours that a function returns."""
    annotation = getattr(function, "__annotations__", {}).get("return")
    for kind in (annotation, *get_args(annotation)):
        if inspect.isclass(kind) and kind.__module__.startswith(("pipeline.", "exporters.")):
            yield kind


def python_page() -> str:
    """The Markdown of the page: a line for each name, which mkdocstrings fills in."""
    return _HEAD + "".join(f"::: {name}\n\n" for name in public())
