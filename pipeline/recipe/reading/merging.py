"""Trees of plain values, one put over another, and the sections that a text may stand for."""

from typing import Any

from pipeline.yaml_document import KeyPath

PRESETS: tuple[KeyPath, ...] = (("train",), ("teacher", "visual", "fit"))
"""Sections in whose place a text is short for `{preset: <text>}`."""


def merge(below: dict[str, Any], above: dict[str, Any], at: KeyPath = ()) -> None:
    """Put the keys of `above` into `below`: sections are merged, lists and values replaced.

    The name of a preset in the place of a section is its key `preset`, and leaves the section's other keys as they are.
    """
    for key, value in above.items():
        path, under = (*at, key), below.get(key)
        if path in PRESETS and isinstance(value, str) and isinstance(under, dict):
            under["preset"] = value
        elif path in PRESETS and isinstance(value, dict) and isinstance(under, str):
            below[key] = {"preset": under, **value}
        elif isinstance(value, dict) and isinstance(under, dict):
            merge(under, value, path)
        else:
            below[key] = value


def value_at(tree: Any, path: KeyPath) -> Any:
    """What stands at a path of sections; None where nothing does."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
