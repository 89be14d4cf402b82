"""The page of the Python API has what `pipeline` gives away, and what its calls return."""

import re

import pipeline
import pipeline.errors
from docs_site.python import python_page
from exporters.client import Answer, Explanation, Student

PAGE = re.findall(r"^::: ([\w.]+)$", python_page(), re.MULTILINE)


def path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def test_every_public_name_is_on_the_page_once() -> None:
    names = [getattr(module, name) for module in (pipeline, pipeline.errors) for name in module.__all__]
    assert len(names) > 6
    assert {path(each) for each in names} <= set(PAGE)
    assert len(set(PAGE)) == len(PAGE)


def test_types_that_calls_return_follow_them() -> None:
    assert PAGE.index(path(Student)) < PAGE.index(path(Answer)) < PAGE.index(path(Explanation))
    assert PAGE.index("pipeline.api.run.run") + 1 == PAGE.index("pipeline.api.run.Run")
