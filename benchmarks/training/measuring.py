"""Interleaved measurement in CPU seconds, which a busy machine does not change, with wall time beside."""

import gc
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runner.environment import describe_environment


@dataclass(frozen=True)
class Cost:
    """Seconds of one piece of work: on the clock, and of all threads and finished child processes together."""

    wall: float
    cpu: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Run a piece of work."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    work()
    return Cost(time.perf_counter() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    # `os.times` counts children, and in hundredths of a second; `process_time` is exact and counts none.
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> "Costs":
    """Measure some pieces of work by turns, in another order each round, so that a busy machine is unfair to none.

    Args:
        contenders: name → work.
        rounds: how often each is measured.
        warm_up: run each once before.

    Returns:
        name → its cost in each round.
    """
    names = list(contenders)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for name in names if warm_up else ():
        contenders[name]()
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            gc.collect()
            costs[name].append(cost_of(contenders[name]))
    return costs


Costs = Mapping[str, Sequence[Cost]]


@dataclass(frozen=True)
class Claim:
    """A ratio that is claimed, and what it was measured to be.

    Attributes:
        name: of the comparison, as `--only` takes it.
        ours, peer: what was measured; names of `costs`, several joined by `+` for their sum.
        costs: of each.
        pixels: side of the images; 0 where sizes have no part in it.
        bound: of the ratio; None: none is claimed at this size.
        at_least: the ratio is to be above the bound, not below.
        facts: what else was fixed: networks, batch, images.
    """

    name: str
    ours: str
    peer: str
    costs: Costs
    pixels: int
    bound: float | None
    facts: Mapping[str, Any]
    at_least: bool = False

    def ratio(self, kind: str) -> float:
        """The median over the rounds of ours / peer, in `cpu` or `wall` seconds."""
        ours, peer = (self._seconds(names, kind) for names in (self.ours, self.peer))
        return statistics.median(one / other for one, other in zip(ours, peer, strict=True))

    def _seconds(self, names: str, kind: str) -> list[float]:
        parts = [[getattr(cost, kind) for cost in self.costs[name]] for name in names.split("+")]
        return [sum(round_) for round_ in zip(*parts, strict=True)]

    @property
    def holds(self) -> bool | None:
        """Whether the ratio in CPU seconds keeps within its bound; None without one."""
        ratio = self.ratio("cpu")
        if self.bound is None:
            return None
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def to_json(self) -> dict[str, Any]:
        """JSON values: the ratios, medians of the seconds, and all that they hold for."""
        return {
            "comparison": self.name,
            "pixels": self.pixels,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": {kind: _rounded(self.ratio(kind)) for kind in ("cpu", "wall")},
            "bound": self.bound,
            "at_least": self.at_least,
            "holds": self.holds,
            "rounds": len(next(iter(self.costs.values()))),
            "seconds": {
                name: {
                    kind: _rounded(statistics.median(getattr(cost, kind) for cost in costs)) for kind in ("cpu", "wall")
                }
                for name, costs in self.costs.items()
            },
            "facts": dict(self.facts),
        }


def circumstances(threads: int) -> dict[str, Any]:
    """What a measurement holds for: machine, versions, commit, threads."""
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("timm", "torchdistill") if _installed(name)}
    return {
        "machine": describe_environment() | {"processor": _processor()},
        "peers": versions,
        "commit": _commit(),
        "threads": threads,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _installed(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _commit() -> str | None:
    """The commit of the checkout, with `+` where files differ from it; None outside of one."""
    root = Path(__file__).resolve().parents[2]
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def _rounded(value: float) -> float:
    """Five significant digits: what takes a millisecond has a ratio too."""
    return float(f"{value:.5g}")
