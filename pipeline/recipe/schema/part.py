"""The part of a JSON Schema that is below a key, as a schema of its own."""

import difflib
from collections.abc import Iterator
from typing import Any

from exporters.core.errors import UsageError

Node = dict[str, Any]
_REFERENCE = "#/$defs/"


def schema_part(schema: Node, key: str) -> Node:
    """The schema of what stands at a key, with the definitions that it refers to.

    Args:
        schema: a JSON Schema (draft 2020-12) whose references are into its own `$defs`.
        key: a dotted key path, such as `train.schedule`; names that are free, such as those of views, may be any.

    Returns:
        A schema of its own, titled by the key.

    Raises:
        UsageError: no such key; names the nearest one, and those that are there.
    """
    nodes, done = [schema], ""
    for name in key.split("."):
        known = list(dict.fromkeys(known for node in nodes for known in _properties(schema, node)))
        children = [child for node in nodes for child in _children(schema, node, name)]
        if not children:
            raise _unknown(f"{done}{name}", name, done, known)
        nodes, done = children, f"{done}{name}."
    unique = [node for number, node in enumerate(nodes) if node not in nodes[:number]]
    found = _resolved(schema, unique[0]) if len(unique) == 1 else {"anyOf": unique}
    used: dict[str, Node] = {}
    _collect(schema, found, used)
    definitions = {"$defs": {name: used[name] for name in sorted(used)}} if used else {}
    return {"$schema": schema["$schema"], **found, "title": f"{schema['title']}: {key}", **definitions}


def _unknown(key: str, name: str, parent: str, known: list[str]) -> UsageError:
    where = f"below {parent[:-1]}" if parent else "at the top"
    if not known:
        return UsageError(f"{key}: {parent[:-1]} is a value, with no keys below it")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {parent}{near[0]}?" if near else ""
    return UsageError(f"{key}: no such key{hint}", remedy=f"Keys {where}: {', '.join(known)}.")


def _resolved(schema: Node, node: Node) -> Node:
    """The node, with what it refers to put in; what stands beside the reference goes before."""
    if "$ref" not in node:
        return node
    definition: Node = schema["$defs"][node["$ref"].removeprefix(_REFERENCE)]
    return {**_resolved(schema, definition), **{name: value for name, value in node.items() if name != "$ref"}}


def _alternatives(schema: Node, node: Node) -> Iterator[Node]:
    node = _resolved(schema, node)
    yield node
    for choice in ("anyOf", "oneOf", "allOf"):
        for inner in node.get(choice, ()):
            yield from _alternatives(schema, inner)


def _properties(schema: Node, node: Node) -> Iterator[str]:
    for choice in _alternatives(schema, node):
        yield from choice.get("properties", ())


def _children(schema: Node, node: Node, name: str) -> Iterator[Node]:
    for choice in _alternatives(schema, node):
        child = choice.get("properties", {}).get(name, choice.get("additionalProperties"))
        if isinstance(child, dict):
            yield child


def _collect(schema: Node, value: Any, used: dict[str, Node]) -> None:
    """The definitions that a value refers to, and those that these refer to."""
    if isinstance(value, list):
        for item in value:
            _collect(schema, item, used)
    elif isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and (name := reference.removeprefix(_REFERENCE)) not in used:
            used[name] = schema["$defs"][name]
            _collect(schema, used[name], used)
        for item in value.values():
            _collect(schema, item, used)
