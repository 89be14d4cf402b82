"""A recipe with what it extends as one text, its comments kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from exporters.core.errors import UsageError
from pipeline.recipe.reading.extends import Merged, read_merged
from pipeline.recipe.reading.keys import known_keys
from pipeline.recipe.reading.renamed import current_path
from pipeline.yaml_document import KeyPath, Position, dump_yaml, parse_yaml


@dataclass
class _Comments:
    """Comments at a key: lines that stand above it, and one behind it."""

    above: list[str] = field(default_factory=list)
    behind: str = ""


def flat_text(path: Path) -> str:
    """The text of a recipe, `extends` resolved.

    A recipe that extends nothing is given as it is. Of others, the comments before the first key are kept, and those of
    each key in the file that decides it; layout is not.

    Raises:
        UsageError: the file or a fragment cannot be read, or is no YAML.
    """
    merged = read_merged(path)
    if merged.mistakes:
        raise UsageError("\n".join(f"{merged.shown(place)}: {message}" for place, message in sorted(merged.mistakes)))
    text = merged.files[0][1]
    if len(merged.files) == 1:
        return text
    order = {key: number for number, key in enumerate(known_keys(()))}
    tree = dict(sorted(merged.value.items(), key=lambda item: order.get(item[0], len(order))))
    header, body = _header(text), _with_comments(tree, merged)
    return "\n".join([*header, *([""] if header else []), *body]) + "\n"


def _header(text: str) -> list[str]:
    """The comments before the first key, without blank lines at their end."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        lines.append(line.rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _with_comments(tree: dict[str, Any], merged: Merged) -> Iterator[str]:
    # One by one, so that the whole is never written in one line.
    dumped = "".join(dump_yaml({key: value}, compact=isinstance(value, dict | list)) for key, value in tree.items())
    found = {
        path: comments
        for number, (_, text) in enumerate(merged.files)
        for path, comments in ((current_path(path), comments) for path, comments in _comments(text).items())
        if path in merged.places and merged.places[path].file == number
    }
    at_line: dict[int, list[_Comments]] = {}
    sections: set[int] = set()
    for path, position in parse_yaml(dumped).positions.items():
        if len(path) == 1 and isinstance(tree[str(path[0])], dict):
            sections.add(position.line)
        if path in found:
            at_line.setdefault(position.line, []).append(found[path])
    _, inside = _scan(dumped)
    for number, line in enumerate(dumped.splitlines(), start=1):
        here = at_line.get(number, [])
        indent = " " * (len(line) - len(line.lstrip()))
        behind = [comments.behind for comments in here if comments.behind]
        # Where the line goes on in the next one, a comment behind it would be a part of the text.
        last = [] if number in inside else behind[:1]
        above = list(chain.from_iterable(comments.above for comments in here)) + behind[len(last) :]
        if number in sections and number > 1:
            yield ""
        if number - 1 not in inside:
            yield from (f"{indent}{comment}" for comment in above)
        yield "  ".join([line, *last])


def _scan(text: str) -> tuple[dict[int, int], set[int]]:
    """Of each line (from 0), the column behind its last token; and the lines that begin within a text."""
    ends: dict[int, int] = {}
    inside: set[int] = set()
    for token in yaml.scan(text):
        first, last = token.start_mark, token.end_mark
        ends[last.line] = max(ends.get(last.line, 0), last.column)
        if isinstance(token, yaml.ScalarToken):
            inside |= set(range(first.line + 1, last.line + (last.column > 0)))
    return ends, inside


def _comments(text: str) -> dict[KeyPath, _Comments]:
    """The comments of a valid YAML text behind its header, by the key that they belong to."""
    ends, inside = _scan(text)
    keys: dict[int, tuple[Position, KeyPath]] = {}
    for path, position in parse_yaml(text).positions.items():
        keys[position.line] = min(keys.get(position.line, (position, path)), (position, path), key=lambda key: key[0])
    found: dict[KeyPath, _Comments] = {}
    waiting: list[str] = []
    lines = text.splitlines()
    for number in range(len(_header(text)), len(lines)):
        line = lines[number]
        comment = line[ends.get(number, 0) :].strip() if number not in inside else ""
        comment = comment if comment.startswith("#") else ""
        if number + 1 not in keys:
            waiting += [comment] if comment else []
            continue
        if comment or waiting:
            found[keys[number + 1][1]] = _Comments(waiting, comment)
        waiting = []
    return found
