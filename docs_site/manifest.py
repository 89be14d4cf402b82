"""The page of a bundle's manifest, from its JSON Schema."""

import json
from collections.abc import Iterator
from typing import Any

from docs_site.tables import code, plain, table
from exporters.bundle.manifest import SCHEMA

Node = dict[str, Any]

_HEAD = """\
# `manifest.json`

Generated from [the JSON Schema](manifest.schema.json) of a bundle's manifest, which
`tmkd-pipeline schema --of manifest` prints. {description}
[The bundle](../bundle.md) says what the files hold, and [what `verify` proves](../bundle.md#what-verify-proves).

"""
_COLUMNS = ("key", "is", "meaning")
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def fields(node: Node, root: Node, path: str = "") -> Iterator[tuple[str, bool, Node]]:
    """Every key below a node with its path, whether it must be there, and its node; `*` stands for a name."""
    node = _resolved(node, root)
    if node.get("type") == "array":
        yield from fields(node["items"], root, f"{path}[]")
        return
    named = node.get("properties", {}) if "patternProperties" not in node else {}
    free = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    children = [(key, key in node.get("required", ()), child) for key, child in named.items()]
    children += [("*", False, child) for child in free if isinstance(child, dict)]
    for key, must, child in children:
        place = f"{path}.{key}" if path else key
        node = _resolved(child, root)
        yield place, must, node
        yield from fields(node, root, place)


def _resolved(node: Node, root: Node) -> Node:
    """A node with what it refers to; what it says itself comes first."""
    return {**root["$defs"][node["$ref"].rsplit("/", 1)[1]], **node} if "$ref" in node else node


def manifest_page() -> str:
    """The Markdown of the page."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    top: list[list[str]] = []
    below: dict[str, list[list[str]]] = {}
    for path, must, node in fields(schema, schema):
        meaning = plain(node.get("description", ""))
        if not must and not path.endswith("*"):
            meaning = f"Optional. {meaning}"
        row = [code(path), plain(kind(node)), meaning]
        if path.endswith("*") and not meaning:
            continue  # what stands under each name follows
        section = path.partition(".")[0].removesuffix("[]")
        (below.setdefault(section, []) if section != path else top).append(row)
    parts = [_HEAD.format(description=plain(schema["description"])), "## At the top\n\n", table(_COLUMNS, top), "\n"]
    for section, rows in below.items():
        parts += [f"## {code(section)}\n\n", table(_COLUMNS, rows), "\n"]
    return "".join(parts)


def kind(node: Node) -> str:
    """What a value may be, in words."""
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kinds = node.get("type", "a value")
    words = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if words == "array" and "type" in node["items"]:
        words = f"array of {node['items']['type']}s"
    bounds = " and ".join(f"{sign} {node[key]:g}" for key, sign in _BOUNDS.items() if key in node)
    if "minItems" in node:
        words += f", {node['minItems']} to {node['maxItems']} of them"
    return f"{words} {bounds}".strip()
