"""What became of the mutants of a source file, with those set apart that behave like the original."""

import contextlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.mutation.workplace import WORK, meta_of

EQUIVALENT = Path(__file__).parent / "equivalent"
"""Mutants that no test can tell from the original: source file → function, line, mutant (both as text), reason."""

_SURVIVED = {0, 5, 33}  # passed; no test ran; no test calls the function
_NAME = re.compile(r"\.x(?:_|ǁ(?P<type>\w+)ǁ)(?P<function>\w+)__mutmut_\d+$")


@dataclass(frozen=True)
class Change:
    """A mutation: in which function, which text of which line, by what."""

    function: str
    line: str
    mutant: str


@dataclass(frozen=True)
class Outcome:
    """Counts of a file or a part.

    Attributes:
        mutants: all that were tried.
        survivors: those that no test killed, without the equivalent ones.
        equivalent: those that survived and are listed as equivalent.
        undecided: mutants that were not tried to the end.
        needless: entries of the list that no survivor answers to.
    """

    mutants: int
    survivors: tuple[Change, ...]
    equivalent: int
    undecided: int
    needless: tuple[Change, ...] = ()

    @property
    def killed(self) -> int:
        """Mutants that made a test fail, or take many times its time."""
        return self.mutants - len(self.survivors) - self.equivalent - self.undecided

    @property
    def score(self) -> float:
        """Percent of the mutants that were killed."""
        return _percent(self.killed, self.mutants)

    @property
    def score_without_equivalent(self) -> float:
        """Percent of the mutants that can be killed."""
        return _percent(self.killed, self.mutants - self.equivalent)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.mutants + other.mutants,
            self.survivors + other.survivors,
            self.equivalent + other.equivalent,
            self.undecided + other.undecided,
            self.needless + other.needless,
        )

    def __str__(self) -> str:
        if not self.mutants:
            return "nothing to mutate"
        told = f"{self.killed} of {self.mutants} mutants killed, {self.score:.1f} %"
        if self.equivalent:
            told += f"; without {self.equivalent} equivalent, {self.score_without_equivalent:.1f} %"
        if self.undecided:
            told += f"; {self.undecided} not tried"
        return told


def _percent(count: int, total: int) -> float:
    return 100 * count / total if total else 100.0


def outcome_of(source: str) -> Outcome:
    """What mutmut has found for a source file; nothing if it has no function with a mutant."""
    meta = meta_of(source)
    codes = json.loads(meta.read_bytes())["exit_code_by_key"] if meta.is_file() else {}
    survived = [change_of(source, name) for name, code in codes.items() if code in _SURVIVED]
    return judged(len(codes), survived, sum(code is None for code in codes.values()), equivalents(source))


def judged(mutants: int, survived: list[Change], undecided: int, equivalent: set[Change]) -> Outcome:
    """The counts, with the survivors parted into equivalent ones and others."""
    left = tuple(change for change in survived if change not in equivalent)
    needless = tuple(sorted(equivalent - set(survived), key=str)) if not undecided else ()
    return Outcome(mutants, left, len(survived) - len(left), undecided, needless)


def change_of(source: str, name: str) -> Change:
    """What a mutant changes, by its name at mutmut."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    found = _NAME.search(name)
    if not found:
        raise ValueError(f"not a mutant's name: {name}")
    function = ".".join(filter(None, (found["type"], found["function"])))
    with contextlib.chdir(WORK / source):
        diff = get_diff_for_mutant(name, path=source).splitlines()[2:]
    line, mutant = (" ".join(part[1:].strip() for part in diff if part.startswith(sign)) for sign in "-+")
    return Change(function, line, mutant)


def equivalents(source: str, folder: Path = EQUIVALENT) -> set[Change]:
    """The mutants of a source file that are listed as equivalent."""
    return listed(folder).get(source, set())


@cache
def listed(folder: Path = EQUIVALENT) -> dict[str, set[Change]]:
    """Source file → the mutants that are listed as equivalent; each entry must have a reason."""
    found: dict[str, set[Change]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for source, entries in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
            for entry in entries:
                if not entry.get("reason"):
                    raise ValueError(f"{path}: {source}: {entry}: no reason")
                found.setdefault(source, set()).add(Change(entry["function"], entry["line"], entry["mutant"]))
    return found
