"""The JSON Schema of recipes: for editors, and for messages that say what was expected."""

from copy import deepcopy
from functools import cache
from typing import Any

from pipeline.recipe.schema.recipe import Recipe
from pipeline.training.settings import PRESETS

_EXTENDS = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    "default": [],
    "description": "Fragments to extend: base/<name> for those that ship, or .yaml files relative to this one; "
    "later ones win over earlier ones, and the recipe's own keys over all.",
}


@cache
def _schema() -> dict[str, Any]:
    schema = Recipe.model_json_schema(by_alias=True)
    schema["properties"]["name"].pop("default")  # the loader takes the file's name
    views = schema["$defs"]["DistillSettings"]["properties"]["views"]
    auto, named = views.pop("oneOf")
    ((pattern, view),) = named.pop("patternProperties").items()
    named["propertyNames"] = {"pattern": pattern, "not": {"const": "rgb"}}
    # A view's kind may be left out, so that `oneOf` would find two matches; null removes a view.
    named["additionalProperties"] = {"anyOf": [*view["oneOf"], {"type": "null"}]}
    views["anyOf"] = [auto, named]
    for section, key in ((schema, "train"), (schema["$defs"]["VisualTeacherSettings"], "fit")):
        node = section["properties"][key]
        whole = node.pop("anyOf") if "anyOf" in node else [{"$ref": node.pop("$ref")}]
        node["anyOf"] = [*whole, {"enum": [*PRESETS], "type": "string"}]
    # Resolved while a file is read, so that a checked recipe has no such key.
    schema["properties"] = {"extends": _EXTENDS} | schema["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "tmkd-pipeline recipe",
    }


def recipe_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a recipe, with the data sets and methods by name."""
    return deepcopy(_schema())
