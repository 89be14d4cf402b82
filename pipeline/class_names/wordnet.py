"""Words for the codes (`n01443537`) by which ImageNet and its relatives call their classes.

The words are WordNet's, as timm ships them. Only its text file is read: importing timm would load torch.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from exporters.core.errors import UnavailableError

CODE = re.compile(r"n\d{8}")

# Classes of ImageNet whose first word is also that of another class. They are told apart always, so that what a class
# is called does not depend on which others a data set has.
_TOLD_APART = {
    "n02012849": "crane bird",
    "n02113186": "Cardigan Welsh corgi",
    "n03126707": "construction crane",
    "n03710721": "tank suit",
}


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """The words of each of about 21,800 codes, the commonest first: `n01443537: (goldfish, Carassius auratus)`.

    Raises:
        UnavailableError: timm is not installed, or has no such file.
    """
    package = find_spec("timm")
    path = None if package is None or package.origin is None else Path(package.origin).parent
    path = None if path is None else path / "data" / "_info" / "imagenet_synset_to_lemma.txt"
    if path is None or not path.is_file():
        raise UnavailableError(
            "the words of ImageNet's classes come with timm, which is not installed",
            remedy="pip install 'tmkd-pipeline[cpu]'",
        )
    rows = (line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {code: split_synonyms(text) for code, _, text in rows if text}


def split_synonyms(text: str) -> tuple[str, ...]:
    """The words of a list with commas, none of them empty."""
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def distinct_words(found: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """One name a code: its first word, and where two have the same, a further one, else the code behind it.

    Args:
        found: code → its words, at least one.

    Returns:
        Code → name, in the same order. No two are the same without regard to case and hyphens.
    """
    names = {code: _TOLD_APART.get(code, words[0]) for code, words in found.items()}
    groups: dict[str, list[str]] = defaultdict(list)
    for code, name in names.items():
        groups[plain(name)].append(code)
    taken = set(groups)
    for group in groups.values():
        same = list(group)
        for code in group:
            free = [word for word in found[code] if plain(word) not in taken]
            if len(same) > 1 and free:
                names[code] = free[0]
                taken.add(plain(free[0]))
                same.remove(code)
        if len(same) > 1:
            names.update({code: f"{names[code]} ({code})" for code in same})
    return names


def plain(name: str) -> str:
    """A name as names are compared: without regard to case, with `_` and `-` read as spaces."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())
