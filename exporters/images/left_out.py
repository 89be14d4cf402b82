"""Counts of the files and folders of a data set that were left out, by kind, with the first of each kind."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

_SHOWN = 8
_NOUNS = ("file", "folder", "link")


@dataclass
class LeftOut:
    """Files and folders that were left out.

    Attributes:
        counts: kind, such as `.txt` or `hidden file` → how many.
        first: kind → path of the first.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, path: str) -> None:
        """Count one."""
        self.counts[kind] += 1
        self.first.setdefault(kind, path)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def describe(self) -> str:
        """All kinds in one line: `2 .txt (a/notes.txt, …), 1 dead link (a/x.jpg)`."""
        return describe_left_out(self.counts, self.first)


def describe_left_out(counts: Mapping[str, int], first: Mapping[str, str]) -> str:
    """One line for a person, the most frequent kinds first; those after the eighth are summed up."""
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    parts = []
    for kind in kinds[:_SHOWN]:
        path = "".join(letter if letter.isprintable() else "?" for letter in first.get(kind, ""))
        more = ", …" if counts[kind] > 1 else ""
        words = " ".join(f"{word}s" if word in _NOUNS and counts[kind] > 1 else word for word in kind.split(" ", 2))
        parts.append(f"{counts[kind]:,} {words}" + (f" ({path}{more})" if path else ""))
    if len(kinds) > _SHOWN:
        parts.append(f"{sum(counts[kind] for kind in kinds[_SHOWN:]):,} of {len(kinds) - _SHOWN} other kinds")
    return ", ".join(parts)
