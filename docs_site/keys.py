"""The page of all recipe keys, from the schema; each key leads to where it is explained."""

import json
import re
from collections.abc import Iterator
from typing import Any

from docs_site.links import ROOT
from docs_site.tables import code, plain, table
from pipeline.recipe.reading.keys import expected
from pipeline.recipe.schema.json_schema import recipe_json_schema

Node = dict[str, Any]

EXPLAINED = ("recipe.md", "recipe/*.md")
"""The pages of docs/ whose rows explain keys."""

_HEAD = """\
---
search:
  boost: 2
---

# All recipe keys

Generated from the schema that recipes are checked against: every key with its default, its values and its meaning.
A key links to the section of [the recipe's pages](../recipe.md) that explains it. For editors there is
[a JSON Schema](recipe.schema.json), which `tmkd-pipeline schema` prints too.

"""

_COLUMNS = ("key", "default", "may be", "meaning")


def sections(node: Node, schema: Node) -> list[Node]:
    """The sections of keys that a node is, refers to or chooses from."""
    if "$ref" in node:
        return sections(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema)
    if "anyOf" in node:
        return [found for choice in node["anyOf"] for found in sections(choice, schema)]
    return [node] if "properties" in node else []


def leaves(schema: Node) -> dict[str, Node]:
    """Every key that holds a value, dotted, with its node; views stand under the name of their kind."""
    return dict(_leaves(schema, schema, ""))


def _leaves(node: Node, schema: Node, path: str) -> Iterator[tuple[str, Node]]:
    for key, child in node["properties"].items():
        below = [(f"{path}{key}.", section) for section in sections(child, schema)]
        if f"{path}{key}" == "distill.views":
            named = next(choice for choice in child["anyOf"] if "additionalProperties" in choice)
            below = [
                (f"distill.views.{view['properties']['kind']['const']}.", view)
                for view in sections(named["additionalProperties"], schema)
            ]
        if not below:
            yield f"{path}{key}", child
        for prefix, section in below:
            yield from _leaves(section, schema, prefix)


def shown_default(node: Node) -> str:
    """The default of a key in a table; a dash where there is none."""
    return json.dumps(node["default"]).strip('"') if "default" in node else "—"


def explained() -> dict[str, str]:
    """Key → the page of docs/ and the heading above the row that explains it, as `page#Heading`."""
    found: dict[str, str] = {}
    keys = leaves(recipe_json_schema())
    docs = ROOT / "docs"
    for page in sorted(page for pattern in EXPLAINED for page in docs.glob(pattern)):
        heading = ""
        for line in page.read_text("utf-8").splitlines():
            if line.startswith("#"):
                heading = line.lstrip("# ")
            elif (row := re.match(r"\| `([a-z_0-9.]+)` \| ", line)) and row[1] in keys:
                found.setdefault(row[1], f"{page.relative_to(docs).as_posix()}#{heading}")
    return found


def keys_page() -> str:
    """The Markdown of the page."""
    from pymdownx.slugs import slugify

    slug, places = slugify(case="lower-ascii"), explained()
    by_section: dict[str, list[list[str]]] = {}
    for key, node in leaves(recipe_json_schema()).items():
        name = code(key)
        if key in places:
            page, _, heading = places[key].partition("#")
            name = f"[{name}](../{page}#{slug(heading, '-')})"
        may_be, default = expected(tuple(key.split("."))), shown_default(node)
        shown = code(default) if default != "—" else default
        row = [name, shown, plain(may_be), plain(node["description"])]
        by_section.setdefault(key.rpartition(".")[0], []).append(row)
    parts = [_HEAD]
    for section, rows in by_section.items():
        parts += [f"## {code(section)}\n\n" if section else "## At the top\n\n", table(_COLUMNS, rows), "\n"]
    return "".join(parts)
