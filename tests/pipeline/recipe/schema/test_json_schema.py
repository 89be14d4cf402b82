"""The JSON Schema that editors use."""

import json

from pipeline.catalog import class_sets, prompt_names
from pipeline.data.registry import DATASETS, FAMILY_PATTERNS
from pipeline.distill.registry import METHODS
from pipeline.recipe.schema.json_schema import recipe_json_schema
from pipeline.recipe.schema.recipe import Recipe


def test_schema_is_json_with_dialect_and_title() -> None:
    schema = json.loads(json.dumps(recipe_json_schema()))
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["title"] == "tmkd-pipeline recipe"
    assert set(schema["properties"]) == {"extends", "lock", *Recipe().resolved()}


def test_registered_names_are_listed() -> None:
    definitions = recipe_json_schema()["$defs"]
    named, *families = definitions["DataSettings"]["properties"]["dataset"]["anyOf"]
    assert named["enum"] == sorted(DATASETS)
    assert [family["pattern"] for family in families] == list(FAMILY_PATTERNS.values())
    assert definitions["DistillSettings"]["properties"]["method"]["enum"] == [*METHODS, "auto"]
    assert "tmkd" not in definitions["DistillSettings"]["properties"]["base"]["enum"]


def test_shipped_prompts_and_class_names_are_described() -> None:
    properties = recipe_json_schema()["$defs"]["TextTeacherSettings"]["properties"]
    assert ", ".join(prompt_names()) in properties["prompts"]["description"]
    assert ", ".join(class_sets()) in properties["class_names"]["description"]


def test_every_section_is_closed_and_every_key_is_described_and_optional() -> None:
    schema = recipe_json_schema()
    for name, section in {**schema["$defs"], "Recipe": schema}.items():
        assert section["additionalProperties"] is False, name
        assert "required" not in section, name
        for key, node in section["properties"].items():
            described = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
            assert described.get("description"), f"{name}.{key}"


def test_a_view_may_be_null_and_may_leave_out_its_kind() -> None:
    auto, views = recipe_json_schema()["$defs"]["DistillSettings"]["properties"]["views"]["anyOf"]
    assert auto["const"] == "auto"
    assert {"type": "null"} in views["additionalProperties"]["anyOf"]
    assert views["propertyNames"]["pattern"] == "^[a-z0-9_]+$"


def test_a_caller_cannot_change_the_next_ones_schema() -> None:
    recipe_json_schema()["properties"].clear()
    assert recipe_json_schema()["properties"]
