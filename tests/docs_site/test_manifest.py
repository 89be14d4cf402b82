"""The page of the manifest has every key of its schema."""

import json
import re
from typing import Any

from docs_site.manifest import manifest_page
from exporters.bundle.manifest import SCHEMA

PAGE = manifest_page()
ROWS = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))


def names(node: Any) -> set[str]:
    """Every name below a `properties` of a schema, wherever it stands."""
    if isinstance(node, list):
        return {name for child in node for name in names(child)}
    if not isinstance(node, dict):
        return set()
    here = set(node.get("properties", {})) if isinstance(node.get("properties"), dict) else set()
    return here | {name for child in node.values() for name in names(child)}


def test_every_key_of_the_schema_is_on_the_page() -> None:
    known = names(json.loads(SCHEMA.read_text("utf-8"))) - {"model.onnx"}  # as every model's, its keys stand under `*`
    assert known == {part.rstrip("[]") for path in ROWS for part in path.split(".")} - {"*"}
