"""The pages of recipes have every key of the schema, with its default and bounds, and no other."""

import re
from html import unescape

from docs_site.keys import leaves, shown_default
from pipeline.catalog import class_sets, fragment_names, prompt_names
from pipeline.distill.registry import METHODS
from pipeline.recipe.reading.keys import expected
from pipeline.recipe.schema.json_schema import recipe_json_schema
from tests.docs.markdown import ROOT

PAGES = [ROOT / "docs" / "recipe.md", *sorted((ROOT / "docs" / "recipe").glob("*.md"))]
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)
ROWS = {
    match["key"]: (match["default"], unescape(match["may_be"]), match["meaning"])
    for match in re.finditer(
        r"^\| `(?P<key>[\w.]+)` \| (?P<default>.+?) \| (?P<may_be>.+?) \| (?P<meaning>.+) \|$", TEXT, re.MULTILINE
    )
    if match["key"] not in METHODS
}


LEAVES = leaves(recipe_json_schema())


def row(key: str) -> str:
    """The row that a key should have, for the message of a failing test."""
    node = LEAVES[key]
    may_be = expected(tuple(key.split(".")))
    return f"| `{key}` | {shown_default(node)} | {may_be} | {node['description']} |"


def test_every_key_of_the_schema_is_described() -> None:
    assert len(LEAVES) > 80
    missing = [row(key) for key in LEAVES if key not in ROWS]
    assert not missing, "add to docs/recipe.md, or to the section's page in docs/recipe/:\n" + "\n".join(missing)


def test_every_described_key_is_in_the_schema() -> None:
    assert set(ROWS) <= set(LEAVES)


def test_defaults_and_bounds_are_those_of_the_schema() -> None:
    wrong = []
    for key, (default, may_be, meaning) in ROWS.items():
        node = LEAVES[key]
        right_default = "default" not in node or default == shown_default(node)
        if not right_default or may_be != expected(tuple(key.split("."))) or not meaning.strip():
            wrong.append(row(key))
    assert not wrong, "these rows of docs/recipe.md or docs/recipe/ should begin as:\n" + "\n".join(wrong)


def test_shipped_prompts_and_class_names_have_rows() -> None:
    first_cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \|(?:[^|]+\|)?$", TEXT, re.MULTILINE)
    named = {found for cell in first_cells for found in re.findall(r"\w+", cell)}
    assert named == {*prompt_names(), *class_sets()}


def test_the_methods_own_weights_are_those_of_the_registry() -> None:
    found = dict(re.findall(r"^\| `(\w+)` \| ((?:[\d.]+|—)(?: \| (?:[\d.]+|—)){3}) \|$", TEXT, re.MULTILINE))
    expected_rows = {
        name: " | ".join(
            "—" if value is None else str(value)
            for value in (entry.ce_weight, entry.feature_weight, entry.logits_weight, entry.logits_temperature)
        )
        for name, entry in METHODS.items()
        if name != "tmkd"
    }
    assert found == expected_rows


def test_shares_are_those_of_the_registry() -> None:
    (share,) = re.findall(r"each of the three\nweights is a share of ([\d.]+) ", TEXT)
    for name, entry in METHODS.items():
        if entry.needs_teacher:
            assert (entry.ce_share, entry.feature_share, entry.logits_share) == (float(share),) * 3, name


def test_shipped_fragments_have_rows() -> None:
    assert sorted(re.findall(r"^\| `base/(\w+)` \| [^|]+ \|$", TEXT, re.MULTILINE)) == list(fragment_names())
