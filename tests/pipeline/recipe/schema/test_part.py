import jsonschema
import pytest

from exporters.core.errors import UsageError
from pipeline.recipe.reading.keys import all_paths, known_keys
from pipeline.recipe.schema.json_schema import recipe_json_schema
from pipeline.recipe.schema.part import schema_part
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import dotted

SCHEMA = recipe_json_schema()
DEFAULTS = Recipe.model_validate({"data": {"dataset": "birds_demo"}}).resolved()


@pytest.mark.parametrize("path", all_paths(), ids=dotted)
def test_every_key_has_a_schema_that_takes_its_default(path: tuple[str, ...]) -> None:
    part = schema_part(SCHEMA, dotted(path))
    jsonschema.Draft202012Validator.check_schema(part)
    value = DEFAULTS
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if value is not None:
        jsonschema.Draft202012Validator(part).validate(value)


def test_a_part_has_its_keys_at_the_top_and_refuses_what_the_recipe_refuses() -> None:
    part = schema_part(SCHEMA, "data")
    assert list(part["properties"]) == known_keys(("data",)) and "$ref" not in part
    validator = jsonschema.Draft202012Validator(part)
    assert validator.is_valid({"image_size": 32}) and not validator.is_valid({"image_size": 0})
    assert not validator.is_valid({"image_sizes": 32})
    assert set(part["$defs"]) == {"AugmentSettings", "RandAugmentSettings"}


def test_a_schedule_is_a_section_or_the_name_of_a_preset() -> None:
    for key in ("train", "teacher.visual.fit"):
        validator = jsonschema.Draft202012Validator(schema_part(SCHEMA, key))
        assert validator.is_valid({"epochs": 3}) and not validator.is_valid({"epochs": 0})
        assert validator.is_valid("finetune") and not validator.is_valid("finetunes")


def test_free_names_have_a_schema() -> None:
    assert "anyOf" in schema_part(SCHEMA, "distill.views.mine") or schema_part(SCHEMA, "distill.views.mine")["oneOf"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train.epoch", "train.epoch: no such key; did you mean train.epochs?"),
        ("train.epochs.x", "train.epochs is a value"),
        ("", ": no such key"),
        ("train..lr", "no such key"),
        ("$defs", "no such key"),
    ],
)
def test_unknown_key_is_refused(key: str, expected: str) -> None:
    with pytest.raises(UsageError, match=r"no such key|is a value") as raised:
        schema_part(SCHEMA, key)
    assert expected in raised.value.message
