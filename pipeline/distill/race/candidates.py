"""What `distill.method: auto` chooses from: methods alone, and TMKD on bases."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.distill.registry import METHODS, base_methods

PLAIN = "ce"
"""Training from labels alone: the yardstick of every race."""

_ON = "tmkd on "
_TMKD_BASES = ("kd", "dkd")
"""Bases on which TMKD is tried by default, beside `distill.base`."""


@dataclass(frozen=True)
class Candidate:
    """A way to train the student.

    Attributes:
        method: `distill.method`, a name of `METHODS`.
        base: `distill.base` where the method is `tmkd`, else None.
    """

    method: str
    base: str | None = None

    @property
    def name(self) -> str:
        """As recipes, tables and files have it: `kd`, `tmkd on kd`."""
        return self.method if self.base is None else f"{_ON}{self.base}"

    @property
    def needs_stages(self) -> bool:
        """Whether it takes the feature maps of several stages, which no teacher cache keeps."""
        return METHODS[self.base or self.method].needs_stages


def candidate(name: str) -> Candidate:
    """The candidate of a name.

    Raises:
        ValueError: no such candidate.
    """
    if name not in candidate_names():
        raise ValueError(f"no candidate {name!r}")
    return Candidate("tmkd", name.removeprefix(_ON)) if name.startswith(_ON) else Candidate(name)


def candidate_names() -> list[str]:
    """Every name that `distill.auto.candidates` takes."""
    return [name for name in METHODS if name != "tmkd"] + [f"{_ON}{base}" for base in base_methods()]


def default_candidates(base: str) -> tuple[Candidate, ...]:
    """Plain training, every base method alone, and TMKD on `distill.base` and a few others.

    Methods that compare the maps of several stages are left out, because no teacher cache serves them: each would run
    the teacher on every image of every epoch.

    Args:
        base: `distill.base`.
    """
    alone = [Candidate(name) for name in (PLAIN, *base_methods())]
    plugged = [Candidate("tmkd", name) for name in dict.fromkeys((base, *_TMKD_BASES))]
    return tuple(each for each in (*alone, *plugged) if not each.needs_stages)


def by_promise(candidates: Sequence[Candidate], base: str) -> tuple[str, ...]:
    """Names of the candidates, those first that won most often over whole schedules (docs/results.md).

    TMKD on `distill.base`, that base alone, TMKD on others, other methods in their order, and plain training.

    Args:
        candidates: in any order.
        base: `distill.base`.
    """

    def rank(each: Candidate) -> tuple[bool, bool, bool]:
        return each.name == PLAIN, (each.base or each.method) != base, each.base is None

    return tuple(each.name for each in sorted(candidates, key=rank))
