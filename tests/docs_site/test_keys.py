"""The page of keys has what the loader takes, and leads to where it is explained."""

import re

from docs_site.keys import explained, keys_page
from pipeline.recipe.reading.keys import all_paths, expected
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import dotted

PAGE = keys_page()
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| (?:\[)?`([\w.]+)`.*$", PAGE, re.MULTILINE)}


def test_every_key_that_the_loader_takes_has_one_row() -> None:
    paths = set(all_paths())
    parents = {path[:-1] for path in paths}
    values = {dotted(path) for path in paths - parents}
    # Below a section that takes any keys there is nothing to walk to; such a section is a row itself.
    assert values == set(ROWS)
    assert len(re.findall(r"^\| \[?`", PAGE, re.MULTILINE)) == len(ROWS)


def test_headings_are_the_sections_once_each() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert len(set(headings)) == len(headings) > 30
    assert {"`train`", "`distill.teacher_cache`"} <= set(headings)


def test_defaults_are_those_of_an_empty_recipe() -> None:
    recipe = Recipe()
    for key, value in {
        "data.image_size": recipe.data.image_size,
        "export.onnx.opset": recipe.export.onnx.opset,
        "parity.fp32.min_agreement": recipe.parity.fp32.min_agreement,
    }.items():
        assert f"| `{value}` | {expected(tuple(key.split('.')))} |" in ROWS[key]


def test_every_key_leads_to_its_explanation() -> None:
    assert set(explained()) == set(ROWS)
    assert "](../recipe/distill.md#distill-what-the-student-is-taught)" in ROWS["distill.method"]
