"""What a recipe may hold at each key: its known keys, a description in plain English, and the nearest key to a slip."""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.data.registry import FAMILY_PATTERNS
from pipeline.recipe.schema.json_schema import recipe_json_schema
from pipeline.settings import any_of
from pipeline.tmkd.views.settings import VIEW_KINDS
from pipeline.yaml_document import KeyPath, dotted

_PATTERNS = {
    "^[A-Za-z0-9][A-Za-z0-9._-]*$": "a text of letters, digits, '.', '_' and '-' that starts with a letter or a digit",
    "^[a-z0-9_]+$": "a name of small letters, digits and '_'",
    "^[0-9a-fA-F]{64}$": "64 hexadecimal digits",
    r"^[1-9][0-9]?\.[0-9]$": "a text such as '8.9'",
    **{pattern: name for name, pattern in FAMILY_PATTERNS.items()},
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "null": "null",
    "object": "a section of keys",
}

Node = dict[str, Any]

_VIEWS: KeyPath = ("distill", "views")


@cache
def _root() -> Node:
    return recipe_json_schema()


def _alternatives(node: Node) -> list[Node]:
    """The node itself, or the nodes that it refers to or chooses from."""
    if "$ref" in node:
        definition: Node = _root()["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return _alternatives(definition)
    if "anyOf" in node:
        return [found for choice in node["anyOf"] for found in _alternatives(choice)]
    return [node]


def takes_any_text(path: KeyPath) -> bool:
    """Whether a text may stand at a path that is not one of a few names."""
    return any(node.get("type") == "string" and not _texts(node) for node in _nodes(path))


def takes_only_text(path: KeyPath) -> bool:
    """Whether a text may stand at a path, any or one of several, and otherwise nothing but null."""
    kinds = {node.get("type") for node in _nodes(path)}
    return "string" in kinds and kinds <= {"string", "null"}


def takes_null(path: KeyPath) -> bool:
    """Whether null may stand at a path."""
    return any(node.get("type") == "null" for node in _nodes(path))


def is_free(path: KeyPath) -> bool:
    """Whether a path lies in a section that takes any keys and values, such as the arguments of a network."""
    for depth in range(len(path)):
        if any(node.get("additionalProperties") is True for node in _nodes(path[:depth])):
            return True
    return False


def _descend(nodes: list[Node], key: str | int) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        if isinstance(key, int):
            items = node.get("prefixItems", [])
            child = items[key] if key < len(items) else node.get("items")
        else:
            child = node.get("properties", {}).get(key, node.get("additionalProperties"))
        if isinstance(child, dict):
            found += _alternatives(child)
    return found


def _nodes(path: KeyPath) -> list[Node]:
    if path[:2] == _VIEWS and path[2:3] != () and path[2] in VIEW_KINDS and path[3:] != ("kind",):
        # A view that is called as a kind is most likely of it; its keys mean other things in other kinds.
        views = [node for node in _walk_down(path[:3]) if _kind(node) == path[2]]
        if found := _walk_down(path[3:], views):
            return found
    return _walk_down(path)


def _walk_down(path: KeyPath, nodes: list[Node] | None = None) -> list[Node]:
    nodes = _alternatives(_root()) if nodes is None else nodes
    for key in path:
        nodes = _descend(nodes, key)
    return nodes


def _kind(node: Node) -> str | None:
    """The kind of a view's section."""
    kind: str | None = node.get("properties", {}).get("kind", {}).get("const")
    return kind


def known_keys(path: KeyPath) -> list[str]:
    """The keys that may stand below a path, in the schema's order; none for values and free sections."""
    return list(dict.fromkeys(key for node in _nodes(path) for key in node.get("properties", {})))


@cache
def all_paths() -> tuple[KeyPath, ...]:
    """Every key path of the schema, those of the default views included."""
    return tuple(_walk(()))


def _walk(path: KeyPath) -> Iterator[KeyPath]:
    for key in VIEW_KINDS if path == _VIEWS else known_keys(path):
        yield (*path, key)
        yield from _walk((*path, key))


_LONGEST_SLIP = 100
"""Letters of a key that may be a slip of the pen."""


_OTHER_NAMES = {
    "lr": ("learning_rate",),
    "batch_size": ("batch", "bs"),
    "weight_decay": ("wd",),
    "epochs": ("max_epochs",),
    "accumulate": (
        "grad_accumulation", "gradient_accumulation", "gradient_accumulation_steps", "accumulate_grad_batches",
    ),
    "ema": ("ema_decay", "model_ema"),
    "compile": ("torch_compile",),
    "precision": ("amp", "mixed_precision", "dtype", "fp16", "bf16", "half"),
    "passes": ("epochs",),
    "storage": ("dtype", "fp16", "half"),
    "root": ("path", "dir", "folder"),
    "test": ("test_fraction", "test_split"),
    "validation": ("val", "val_fraction", "validation_fraction", "val_split"),
    "flip": ("horizontal_flip", "hflip"),
    "jitter": (
        "color", "colour", "color_jitter", "colour_jitter", "brightness", "contrast", "saturation",
    ),
    "erasing": ("cutout",),
    "randaugment": ("rand_augment",),
}  # fmt: skip
"""A key → what other tools call it, where the spelling does not tell."""

_OTHER_VALUES = {
    "fp32": ("float32",),
    "fp16": ("float16", "half", "16-mixed"),
    "bf16": ("bfloat16", "bf16-mixed"),
    "float32": ("fp32",),
    "float16": ("fp16", "half"),
    "onnxruntime": ("ort",),
    "tensorrt": ("trt",),
    "torch": ("pytorch",),
    "cuda": ("gpu",),
}
"""A value → what other tools, and other keys of a recipe, call it, where the spelling does not tell."""


def _other_name(names: Mapping[str, Sequence[str]], slip: str, known: Sequence[str]) -> list[str]:
    return [name for name in known if slip in names.get(name, ())][:1]


def nearest_value(slip: str, names: Sequence[str]) -> list[str]:
    """The one of several names that an unknown value most likely means: another name for it, a slip, or the only one
    that begins with it; none where none is likely."""
    if meant := _other_name(_OTHER_VALUES, slip.lower(), names):
        return meant
    if near := difflib.get_close_matches(slip, names, n=1):
        return near
    longer = [name for name in names if name.startswith(slip.lower())] if len(slip) > 1 else []
    return longer if len(longer) == 1 else []


def nearest(path: KeyPath) -> list[str]:
    """The known keys that an unknown one most likely means, as dotted paths: a slip at its level, or the wrong level.

    Args:
        path: path of the unknown key; its last element is the slip.
    """
    parent, slip = path[:-1], str(path[-1])
    if len(slip) > _LONGEST_SLIP:
        return []
    if meant := _other_name(_OTHER_NAMES, slip, known_keys(parent)):
        return [dotted((*parent, meant[0]))]
    near = difflib.get_close_matches(slip, known_keys(parent), n=1)
    if near and _are_alike(slip, near[0], 0.8):
        return [dotted((*parent, near[0]))]
    for least in (1.0, 0.8):
        elsewhere = [found for found in all_paths() if _are_alike(slip, str(found[-1]), least)]
        if elsewhere:
            return [dotted(found) for found in _closest(elsewhere, parent)]
        if near:
            return [dotted((*parent, near[0]))]
    return []


def _closest(paths: list[KeyPath], parent: KeyPath) -> list[KeyPath]:
    """Those that share most of their path with `parent`, of these the shallowest; three at most."""

    def distance(path: KeyPath) -> tuple[int, int]:
        shared = next((i for i, (a, b) in enumerate(zip(path, parent, strict=False)) if a != b), len(parent))
        return -shared, len(path)

    best = min(map(distance, paths))
    return [path for path in paths if distance(path) == best][:3]


def _are_alike(a: str, b: str, least: float) -> bool:
    """Whether the similarity of two texts is at least so much; the upper bounds, which cost little, come first."""
    if least == 1:
        return a == b
    matcher = difflib.SequenceMatcher(None, a, b)
    return all(ratio() >= least for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))


def choices(path: KeyPath) -> list[str]:
    """The texts to choose from at a path; none where it is not a choice."""
    return [text for node in _nodes(path) for text in _texts(node)]


def _texts(node: Node) -> list[str]:
    texts = node.get("enum", [node["const"]] if "const" in node else [])
    return [text for text in texts if isinstance(text, str)]


@dataclass(frozen=True)
class Bounds:
    """Which numbers a key takes; `number in bounds` says it of one.

    Attributes:
        least: nothing below it; -inf where there is no bound.
        most: nothing above it; inf where there is no bound.
        open_below: whether `least` itself is not taken.
        open_above: whether `most` itself is not taken.
        whole: whether these are whole numbers.
    """

    least: float
    most: float
    open_below: bool
    open_above: bool
    whole: bool

    def __contains__(self, number: float) -> bool:
        above = self.least < number if self.open_below else self.least <= number
        below = number < self.most if self.open_above else number <= self.most
        return above and below and (not self.whole or number == int(number))


def number_bounds(path: KeyPath) -> list[Bounds]:
    """The bounds of each kind of number that may stand at a path; none where no number may."""
    return [_bounds(node) for node in _nodes(path) if node.get("type") in ("integer", "number")]


def _bounds(node: Node) -> Bounds:
    def bound(names: tuple[str, str], otherwise: float) -> float:
        return next((float(node[name]) for name in names if name in node), otherwise)

    return Bounds(
        least=bound(("minimum", "exclusiveMinimum"), -math.inf),
        most=bound(("maximum", "exclusiveMaximum"), math.inf),
        open_below="exclusiveMinimum" in node,
        open_above="exclusiveMaximum" in node,
        whole=node["type"] == "integer",
    )


def expected(path: KeyPath, names: Callable[[Sequence[str]], str] = any_of) -> str:
    """What may stand at a path: `an integer ≥ 1`, `fail or skip`, `a number > 0 or null`.

    Args:
        path: the key.
        names: how the names that the items of a list may have are listed.
    """
    if keys := known_keys(path):
        return f"a section with keys such as {any_of(keys[:3])}"
    found = dict.fromkeys(text for node in _nodes(path) for text in _texts(node) or [_describe(node, names)])
    return any_of(found)


def expected_name(path: KeyPath) -> str:
    """What the keys below a path may be called, where they are free."""
    patterns = [node["propertyNames"].get("pattern") for node in _nodes(path) if "propertyNames" in node]
    return any_of(dict.fromkeys(_PATTERNS.get(pattern, "a text of one letter or more") for pattern in patterns))


def _describe(node: Node, names: Callable[[Sequence[str]], str]) -> str:
    if texts := _texts(node):
        return names(texts)
    kind = node.get("type", "object")
    if kind in ("integer", "number"):
        bounds = " and ".join(f"{sign} {node[name]:.10g}" for name, sign in _BOUNDS.items() if name in node)
        return f"{_NOUNS[kind]} {bounds}".strip()
    if kind == "string":
        return _PATTERNS.get(node.get("pattern", ""), _NOUNS[kind])
    if kind == "array":
        items = node.get("prefixItems", [])
        each = dict.fromkeys(_describe(item, names) for item in items or [node["items"]])
        count = f" of {len(items)} values" if items else ""
        return f"a list{count}, each {any_of(each)}"
    return _NOUNS[kind]
