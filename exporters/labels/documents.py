"""Labels in JSON and in YAML."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from exporters.core.errors import UsageError
from exporters.labels.row import Row

_WRAPPERS = ("names", "labels", "classes", "class_names", "id2label", "label2id")
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def json_rows(path: Path, text: str) -> list[Row]:
    """The entries of a JSON list or object, or of that below `names`, `labels`, `classes` or `id2label`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                lines = _lines_of(text, key)
                where = f"lines {lines[0]} and {lines[1]}" if len(lines) > 1 else "two places"
                raise UsageError(f"{path}: the key {key!r} stands on {where}", remedy="Each key may stand once.")
            found[key] = value
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid JSON: {error}", remedy="Check it with an editor.") from error
    value = _unwrapped(value)
    if isinstance(value, list):
        items: list[tuple[str | None, Any]] = [(None, item) for item in value]
    elif isinstance(value, dict):
        items = list(value.items())
    else:
        raise UsageError(f"{path}: neither a list of labels nor an object of labels and indices", remedy=_FORMS)
    places = _Places(text)
    rows = []
    for number, (key, item) in enumerate(items, start=1):
        texts = tuple(item) if isinstance(item, list) and len(item) == 2 and key is not None else (item,)
        whole = type(item) is int and key is not None
        if not (whole or all(isinstance(part, str) for part in texts)):
            what = f"of {key!r}" if key is not None else f"number {number}"
            shown = f"a {type(item).__name__} of {len(item)}" if isinstance(item, list | dict) else repr(item)[:60]
            raise UsageError(f"{path}: bad label {what}: {shown}", remedy="Labels are texts.")
        line = places.next(key if key is not None else texts[-1])
        rows.append(Row(key, tuple(map(str, texts)), line, whole))
    return rows


_FORMS = 'Write a list, ["cat", "dog"], or an object, {"0": "cat", "1": "dog"}.'


def _unwrapped(value: Any) -> Any:
    """What stands below `names` and the like, where that is a list or an object."""
    if isinstance(value, dict):
        return next((value[key] for key in _WRAPPERS if isinstance(value.get(key), list | dict)), value)
    return value


class _Places:
    """The lines on which the texts of a JSON document stand, in their order."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._line = 1

    def next(self, wanted: str) -> int:
        """The line of the next such text; that of the one before where there is none."""
        for token, line in self._tokens:
            if token == wanted:
                self._line = line
                break
        return self._line


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line, end = 1, 0
    for match in _JSON_TEXT.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        yield json.loads(match.group()), line


def _lines_of(text: str, wanted: str) -> list[int]:
    return [line for token, line in _tokens(text) if token == wanted]


def yaml_rows(path: Path, text: str) -> list[Row]:
    """The entries of a YAML list or mapping, or of that below `names` and so on; all mistakes at once."""
    # Nodes rather than values: a label is the text that stands there, be it 010 or `no`, and a key twice is seen.
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # the last two of \U escapes
        raise UsageError(f"{path}: not valid YAML: {error}", remedy="Check it with an editor.") from error
    if isinstance(root, yaml.MappingNode):
        inner = {_scalar(key): value for key, value in root.value if isinstance(value, yaml.CollectionNode)}
        root = next((inner[name] for name in _WRAPPERS if name in inner), root)
    if isinstance(root, yaml.SequenceNode):
        return _yaml_pairs(path, [(None, node) for node in root.value], [])
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"{path}: expected a mapping, or a list of labels", remedy=_YAML)
    problems: list[tuple[int, str]] = []
    pairs = []
    lines: dict[str, int] = {}
    for key_node, node in root.value:
        key, line = _scalar(key_node), key_node.start_mark.line + 1
        if key is None:
            problems.append((line, "expected a label, which is a text"))
        elif lines.setdefault(key, line) != line:
            problems.append((line, f"{key}: stands on line {lines[key]} already"))
        else:
            pairs.append((key, node))
    return _yaml_pairs(path, pairs, problems)


def _yaml_pairs(
    path: Path, pairs: Sequence[tuple[str | None, yaml.Node]], problems: list[tuple[int, str]]
) -> list[Row]:
    """The rows of keys, None in a list, and values.

    Raises:
        UsageError: all problems, those that are given and those of the values.
    """
    rows = []
    for place, (key, node) in enumerate(pairs):
        line = node.start_mark.line + 1
        several = isinstance(node, yaml.SequenceNode) and key is not None and len(node.value) == 2
        texts = [_scalar(part) for part in (node.value if several else [node])]
        if None in texts:
            problems.append((line, f"{place if key is None else key}: expected words, which are a text"))
        whole = isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:int" and key is not None
        rows.append(Row(key, tuple(str(text) for text in texts), line, whole))
    if problems:
        lines = "\n".join(f"{path}: line {line}: {problem}" for line, problem in sorted(problems))
        raise UsageError(lines, remedy=_YAML)
    return rows


_YAML = "Write `- cat` for each class, or a mapping such as `0: cat`."


def _scalar(node: yaml.Node) -> str | None:
    """The text of a scalar, blanks made one; None where there is none."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return None
    return " ".join(node.value.split()) or None
