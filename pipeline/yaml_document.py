"""YAML text as plain values, with the line and column of every key, and every mistake of form at once."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

LARGEST_TEXT = 1_000_000
LARGEST_DEPTH = 20
LARGEST_COUNT = 10_000
"""Values in a document after its aliases are written out: a few lines of aliases can stand for billions."""

_MOST_BITS = 1024
"""Of a whole number: those beyond are larger than any other number, and some that can be read cannot be written."""

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {f"{_TAG}{name}" for name in ("str", "timestamp", "value", "merge")}
_VALUE_TAGS = {f"{_TAG}{name}" for name in ("int", "float", "bool", "null")}
# YAML 1.1, which PyYAML reads, takes 1e-3 for text; everybody means the number.
_EXPONENT = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")


# Numbers that mean the same in YAML 1.1, in YAML 1.2, which editors check by, and to people: 8, -0.5, 1e3, 0x1F.
_PLAIN_NUMBER = re.compile(
    r"[-+]?(?:[1-9][0-9]*|0[0-7]?|0x[0-9a-fA-F]+|(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?)"
)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number, and stops at more than a recipe can hold."""

    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As PyYAML does it, a limited number of times: it takes a minute for a million characters."""
        self.composed += 1
        if self.composed > 2 * LARGEST_COUNT:  # keys are nodes too
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise _TooMuchError(yaml.ScalarNode("", "", mark), f"more than {LARGEST_COUNT:,} values")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


class _Dumper(yaml.SafeDumper):
    """SafeDumper whose texts `_Loader` reads back as the same texts."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """A text, escaped where it has line breaks of Unicode, which PyYAML would write bare and read as spaces."""
        style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
        return self.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(f"{_TAG}float", _EXPONENT, list("-+.0123456789"))


@dataclass(frozen=True, order=True)
class Position:
    """A place in a text, counted from 1."""

    line: int
    column: int


@dataclass
class Document:
    """What a YAML text says.

    Attributes:
        value: dictionaries with text keys, lists, texts, numbers, booleans and None; None where the text is no YAML.
        positions: where each key or list item stands.
        spellings: how the value of a key or list item is written, where it stands without quotes and is no text.
        mistakes: what is wrong with the form, each with its place.
    """

    value: Any = None
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    spellings: dict[KeyPath, str] = field(default_factory=dict)
    mistakes: list[tuple[Position, str]] = field(default_factory=list)


def dump_yaml(values: Any, *, compact: bool = False) -> str:
    """Plain values as YAML text that `parse_yaml` reads back as the same values.

    Args:
        values: dictionaries with text keys, lists, texts, numbers, booleans and None.
        compact: innermost sections and lists in one line each, as people write them.
    """
    flow, width = (None, 120) if compact else (False, 80)
    text: str = yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=width
    )
    return text


def parse_yaml(text: str) -> Document:
    """Read one YAML document. Nothing is raised: all mistakes are in the result.

    Refused beside what is no YAML: duplicate keys, keys that are not plain texts, merge keys, tags, numbers that are
    not finite or that mean something else than they seem to (010 is 8, 1:30 is 90), and more text, depth or values than
    a recipe can need.
    """
    document = Document()
    if len(text) > LARGEST_TEXT:
        document.mistakes.append((Position(1, 1), f"longer than {LARGEST_TEXT:,} characters"))
        return document
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        document.mistakes.append((_position_of_index(text, error.position), f"not valid YAML: {error.reason}"))
        return document
    try:
        node = loader.get_single_node()
        if node is not None:
            value = _Reader(loader, document).read(node, ())
            document.value = None if value is _REFUSED else value
    except _TooMuchError as error:
        document.mistakes.append((_position(error.node), str(error)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        message = f"not valid YAML: {error.problem}{_unclosed(text, error)}"
        document.mistakes.append((Position(mark.line + 1, mark.column + 1), message))
    except RecursionError:
        document.mistakes.append((Position(1, 1), f"more than {LARGEST_DEPTH} levels deep"))
    except (ValueError, OverflowError) as error:  # such as \U escapes beyond Unicode
        mark = loader.get_mark()
        document.mistakes.append((Position(mark.line + 1, mark.column + 1), f"not valid YAML: {error}"))
    return document


def _unclosed(text: str, error: yaml.MarkedYAMLError) -> str:
    """Which bracket or quotation mark was open where the mistake was found; empty where none was."""
    mark = error.context_mark
    opened = "" if mark is None or error.context is None or mark.index >= len(text) else text[mark.index]
    if mark is None or opened not in ("{", "[", '"', "'"):
        return ""
    return f"; the {opened} of line {mark.line + 1} is not closed before it"


_REFUSED = object()
"""Stands for a value whose mistake has been reported; its key is left out, so that nothing else is said about it."""


class _TooMuchError(Exception):
    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.node = node


class _Reader:
    """Turns nodes into values; fills the positions and mistakes of its document."""

    def __init__(self, loader: _Loader, document: Document) -> None:
        self.loader = loader
        self.document = document
        self.count = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        if self.count > LARGEST_COUNT:
            raise _TooMuchError(node, f"more than {LARGEST_COUNT:,} values, aliases written out")
        if len(path) > LARGEST_DEPTH:
            raise _TooMuchError(node, f"more than {LARGEST_DEPTH} levels deep")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self.read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            for index, item in enumerate(node.value):
                self.document.positions[(*path, index)] = _position(item)
            items = [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            return _REFUSED if _REFUSED in items else items
        if isinstance(node, yaml.ScalarNode) and node.tag in _TEXT_TAGS:
            return self.read_text(node)
        if isinstance(node, yaml.ScalarNode) and node.tag in _VALUE_TAGS:
            return self.read_value(node, path)
        return self.refuse(node, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed in a recipe")

    def read_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(key_node, "expected a plain key, got a list or a section")
                continue
            if key_node.tag == f"{_TAG}merge":
                self.refuse(key_node, "merge keys (<<) are not allowed in a recipe; write the keys out")
                continue
            key = self.read_text(key_node)
            if key is _REFUSED:
                continue
            key_path = (*path, key)
            if key_path in self.document.positions:
                first = self.document.positions[key_path].line
                self.refuse(key_node, f"{dotted(key_path)}: given twice, first in line {first}")
                continue
            self.document.positions[key_path] = _position(key_node)
            value = self.read(value_node, key_path)
            if value is not _REFUSED:
                values[key] = value
        return values

    def read_text(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            return self.refuse(node, "half of a surrogate pair is not a character")
        return text

    def read_value(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        try:
            value = self.loader.construct_object(node)
        except (ValueError, LookupError, OverflowError):  # `!!int x`, or more digits than Python reads
            return self.refuse(node, f"cannot be read as {node.tag.removeprefix(_TAG)}: {node.value[:40]!r}")
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            return self.refuse(node, f"too large a number: {node.value[:40]!r}…")
        if isinstance(value, float) and not math.isfinite(value):
            return self.refuse(node, f"expected a finite number, got {node.value[:40]}")
        if isinstance(value, int | float) and not isinstance(value, bool) and not _means_what_it_says(node.value):
            return self.refuse(node, _misleading(node.value[:40], value, path))
        if node.style is None:
            self.document.spellings[path] = node.value
        return value

    def refuse(self, node: yaml.Node, message: str) -> Any:
        self.document.mistakes.append((_position(node), message))
        return _REFUSED


def _means_what_it_says(text: str) -> bool:
    return _PLAIN_NUMBER.fullmatch(text) is not None


def _misleading(text: str, value: float, path: KeyPath) -> str:
    """Message about a number that YAML 1.1 reads in its own way."""
    digits = text.replace("_", "")
    if ":" in text:
        why, meant = "parts with colons are read to the base of 60", f"{value}"
    elif _LEADING_ZERO.fullmatch(digits):
        why, meant = "a leading 0 makes it octal", f"{int(digits)}, or {value} if you mean that"
    elif digits.lstrip("+-").startswith("0b"):
        why, meant = "0b makes it binary", f"{value}"
    else:
        why, meant = "other readers of YAML take it for a text", f"{value}"
    key = f"{dotted(path)}: " if path else ""
    return f"{key}{text} is read as {value}, since {why}; write {meant}, or '{text}' for a text"


def dotted(path: KeyPath) -> str:
    """A key path as users write it: `train.schedule.milestones[0]`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _position_of_index(text: str, index: int) -> Position:
    before = text[:index]
    return Position(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)
