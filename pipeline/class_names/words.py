"""The words by which a prompt calls each class, where a data set's own names are codes. Reading them needs no torch.

A file of class names (YAML, JSON, CSV or text) is a mapping of label to words, or a list of words in the order of the
classes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.names import normalized
from exporters.core.wording import first_of
from exporters.labels import read_rows
from pipeline.class_names.libraries import LIBRARY_SETS

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
    """Names without meaning in a prompt: numbers, WordNet codes, single letters; and all of them, where each is the
    same word with a number (`c1`, `c2`).
    """
    stems = {match[1].casefold() if (match := _NUMBERED.fullmatch(name)) else None for name in words}
    if len(stems) == 1 and None not in stems and len(words) > 1:
        return list(words)
    return [name for name in words if _CODE.fullmatch(name) or len(name) == 1]


def code_name_warning(words: Sequence[str]) -> str | None:
    """What a person should hear of classes that are called by codes; None where none are.

    Args:
        words: what the classes are called in prompts.
    """
    codes = code_names(words)
    if not codes:
        return None
    return (
        f"{len(codes)} of {len(words)} classes have a code for a name, such as {codes[0]}, which means nothing to CLIP,"
        " so that the text teacher will be a weak guide; teacher.text.class_names gives them words"
    )


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
        raise UsageError(
            f"{self.source}: has no words for {len(missing)} of the data set's {len(classes)} classes:"
            f" {first_of(missing, 5)}",
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
    from pipeline.catalog import configs_directory

    shipped = configs_directory() / "classes" / f"{source}.yaml"
    return shipped if Path(source).name == source and shipped.is_file() else Path(source).expanduser()


def names_in_file(path: Path) -> list[list[str] | None]:
    """The labels (None for a list) and the words that a file of class names says, whatever its layout and comments.

    Raises:
        UsageError: a file with mistakes.
    """
    found = _read(path)
    return [None if found.labels is None else list(found.labels), list(found.words)]


def _read(path: Path) -> _Names:
    try:
        rows = read_rows(path)
    except UnavailableError as error:  # what a recipe names wrongly is a mistake of the recipe
        raise UsageError(error.message, remedy=error.remedy) from error
    problems: list[str] = []
    lines: dict[str, int] = {}
    labels, words = [], []
    for row in rows:
        # `{"0": ["n01440764", "tench"]}`, as ImageNet's class_index.json has it
        label, text = (row.values[0] if len(row.values) > 1 else row.key), " ".join(row.values[-1].split())
        if not text:
            problems.append(f"line {row.line}: expected words, which are a text")
            continue
        if label is not None:
            first = lines.setdefault(plain_name(label), row.line)
            if first != row.line:
                problems.append(f"line {row.line}: {label}: stands on line {first} already")
        labels.append(label)
        words.append(text)
    if not rows:
        problems.append("is empty")
    if problems:
        raise UsageError("\n".join(f"{path}: {problem}" for problem in problems), remedy=_REMEDY)
    named = [label for label in labels if label is not None]
    return _Names(str(path), tuple(named) if named else None, tuple(words))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
