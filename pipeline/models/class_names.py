"""The words by which a prompt calls each class, where a data set's own names are codes. Reading them needs no torch.

A file of class names is a mapping of label to words, or a list of words in the order of the classes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from exporters.core.names import normalized
from exporters.errors import UsageError
from pipeline.models.library_names import LIBRARY_SETS

KEY = "teacher.text.class_names"
_REMEDY = "A file of class names has a line `n01443537: goldfish` for each class, or is a list in their order."

# "001.Black footed Albatross", "n02085620-Chihuahua": a number or WordNet's code before the name.
_CODE_BEFORE = re.compile(r"^(?:\d+\.|n\d{8}[-_ ])\s*(?=[^\W\d_])")
_CODE = re.compile(r"n?\d+")
# A word with a number, as in `c1` or `class 12`.
_NUMBERED = re.compile(r"([^\W\d_]+)[ .-]*\d+")
_HYPHEN = re.compile(r"(?<=[^\W\d_])-+(?=[^\W\d_])")


def plain_name(name: str) -> str:
    """A name as names are compared: without regard to case, with `_` and `-` read as spaces, numbers without zeros."""
    plain = " ".join(normalized(name).replace("_", " ").replace("-", " ").casefold().split())
    return plain.lstrip("0") or "0" if _is_number(plain) else plain


def readable_name(name: str) -> str:
    """A data set's own name as it should read in a prompt: `n02085620-great_dane` is `great dane`.

    A hyphen between letters stands for a blank where there is no other (`great-dane`); in `fan-crested owl` and in
    `747-400` it belongs to the word.
    """
    words = " ".join(_CODE_BEFORE.sub("", name).replace("_", " ").split())
    return (words if " " in words else _HYPHEN.sub(" ", words)) or name


def code_names(words: Sequence[str]) -> list[str]:
    """Those that tell a text tower nothing: numbers, WordNet codes, single letters; and all of them, where each is the
    same word with a number (`c1`, `c2`).
    """
    stems = {match[1].casefold() if (match := _NUMBERED.fullmatch(name)) else None for name in words}
    if len(stems) == 1 and None not in stems and len(words) > 1:
        return list(words)
    return [name for name in words if _CODE.fullmatch(name) or len(name) == 1]


def class_words(source: str | None, classes: Sequence[str]) -> list[str]:
    """What each class is called in prompts.

    Args:
        source: `teacher.text.class_names`: None for the data set's own names, a shipped set, or the path of a file.
        classes: the data set's names, in the order of its labels.

    Returns:
        One text a class. No two are the same as `plain_name` compares them.

    Raises:
        UsageError: no such file, a file with mistakes, classes that it does not name, or two classes of one name.
    """
    words = [readable_name(name) for name in classes] if source is None else _load(source, classes).of(classes)
    seen: dict[str, int] = {}
    for index, name in enumerate(words):
        first = seen.setdefault(plain_name(name), index)
        if first != index:
            raise UsageError(
                f"{KEY}: the classes {classes[first]!r} and {classes[index]!r} are both called {name!r},"
                " so that no prompt can tell them apart",
                remedy="Call them differently in a file of your own and give its path.",
            )
    return words


@dataclass(frozen=True)
class _Names:
    """What a source says.

    Attributes:
        source: for messages.
        labels: of the mapping; None for a list.
        words: one for each label, or for each class in order.
    """

    source: str
    labels: tuple[str, ...] | None
    words: tuple[str, ...]

    def of(self, classes: Sequence[str]) -> list[str]:
        if self.labels is None:
            return self._in_order(classes)
        by_label = dict(zip(map(plain_name, self.labels), self.words, strict=True))
        missing = [name for name in classes if plain_name(name) not in by_label]
        if not missing:
            return [by_label[plain_name(name)] for name in classes]
        numbered = all(map(_is_number, classes)) and not any(map(_is_number, self.labels))
        if numbered and len(classes) == len(self.words):
            return self._in_order(classes)
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise UsageError(
            f"{self.source}: has no words for {len(missing)} of the data set's {len(classes)} classes:"
            f" {', '.join(missing[:5])}{more}",
            remedy=f"Its labels are: {', '.join(self.labels[:5])}{' …' if len(self.labels) > 5 else ''}",
        )

    def _in_order(self, classes: Sequence[str]) -> list[str]:
        """By place; folders that are called by numbers sort as text (0, 1, 10, 2), but mean the numbers' order."""
        if len(classes) != len(self.words):
            raise UsageError(
                f"{self.source}: lists {len(self.words)} names for the data set's {len(classes)} classes",
                remedy=_REMEDY,
            )
        order = list(range(len(classes)))
        if all(map(_is_number, classes)):
            order.sort(key=lambda index: int(classes[index]))
        found = dict(zip(order, self.words, strict=True))
        own = {plain_name(name): index for index, name in enumerate(classes)}
        for index, words in found.items():
            elsewhere = own.get(plain_name(words), index)
            if elsewhere != index:
                raise UsageError(
                    f"{self.source}: calls class {index + 1} of the data set, {classes[index]!r}, {words!r},"
                    f" which is the name of its class {elsewhere + 1}; the order is another",
                    remedy="Write a mapping, `label: words`, which has no order.",
                )
        return [found[index] for index in range(len(classes))]


def _load(source: str, classes: Sequence[str]) -> _Names:
    if source in LIBRARY_SETS:
        words = LIBRARY_SETS[source](classes)
        return _Names(f"{KEY}: {source}", tuple(words), tuple(words.values()))
    path = class_names_file(source)
    if not path.is_file():
        raise UsageError(f"{KEY}: no such file: {source}", remedy=_REMEDY)
    return _read(path)


def class_names_file(source: str) -> Path:
    """The file that `teacher.text.class_names` means, which may not be there: a shipped one, else a path."""
    from pipeline.recipe.catalog import configs_directory

    shipped = configs_directory() / "classes" / f"{source}.yaml"
    return shipped if Path(source).name == source and shipped.is_file() else Path(source).expanduser()


def _read(path: Path) -> _Names:
    # Nodes rather than values: a label is the text that stands there, be it 010 or `no`, and a label twice is seen.
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:  # the last two of \U escapes
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    problems: list[str] = []
    if isinstance(root, yaml.MappingNode):
        rows = [(_text(key), key, value) for key, value in root.value]
    elif isinstance(root, yaml.SequenceNode):
        rows = [(str(place), value, value) for place, value in enumerate(root.value)]
    else:
        raise UsageError(f"{path}: expected a mapping of label to words, or a list", remedy=_REMEDY)
    lines: dict[str, int] = {}
    labels, words = [], []
    for label, key, value in rows:
        line, text = key.start_mark.line + 1, _text(value)
        if label is None:
            problems.append(f"line {line}: expected a label, which is a text")
            continue
        if text is None:
            problems.append(f"line {line}: {label}: expected words, which are a text")
            continue
        first = lines.setdefault(plain_name(label), line)
        if first != line:
            problems.append(f"line {line}: {label}: stands on line {first} already")
        labels.append(label)
        words.append(text)
    if not rows:
        problems.append("is empty")
    if problems:
        raise UsageError("\n".join(f"{path}: {problem}" for problem in problems), remedy=_REMEDY)
    return _Names(str(path), tuple(labels) if isinstance(root, yaml.MappingNode) else None, tuple(words))


def _text(node: yaml.Node) -> str | None:
    """The text of a scalar, blanks made one; None where there is none."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return None
    return " ".join(node.value.split()) or None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
