"""Gates of `diff`: how much worse, slower or larger a new bundle may be.

One rule for all that is measured on a sample: a gate fails where the new bundle is worse by more than is allowed, and
worse at all beyond chance. Each gate lets a bundle that is as good as the old one pass in 19 of 20 draws of the images,
or more.
"""

from dataclasses import dataclass
from typing import Any

from exporters.core.errors import UsageError
from exporters.core.wording import count_of, first_of, p_value
from pipeline.diff.measure import Measured
from pipeline.diff.pairs import LEVEL

_ROUNDING = 1e-9
_NAMED = 5
"""Classes that a message names."""


@dataclass(frozen=True)
class Allowed:
    """What is allowed; None is no gate.

    Attributes:
        drop: of the accuracy, in percentage points, 0 or more.
        class_drop: of the recall of any class, in percentage points, 0 or more.
        slower: of the median latency, in per cent, 0 or more.
        larger: of the model's file, in per cent, 0 or more.
    """

    drop: float | None = None
    class_drop: float | None = None
    slower: float | None = None
    larger: float | None = None

    def __post_init__(self) -> None:
        for name in ("drop", "class_drop", "slower", "larger"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(
                    f"--max-{name.replace('_', '-')}: a number of 0 or more is needed, not {value:g}",
                    remedy="0 allows nothing that is beyond chance.",
                )


@dataclass(frozen=True)
class Verdict:
    """What came of one gate.

    Attributes:
        gate: its option, such as `--max-drop`.
        allowed: points or per cent.
        found: likewise; negative where the new bundle is better.
        passed: whether it holds.
        why: a clause with the figures.
    """

    gate: str
    allowed: float
    found: float
    passed: bool
    why: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {
            "gate": self.gate, "allowed": self.allowed, "found": round(self.found, 6), "passed": self.passed,
            "why": self.why,
        }  # fmt: skip


def judge(measured: Measured, allowed: Allowed) -> list[Verdict]:
    """The gates that were asked for, in the order of `Allowed`.

    Raises:
        UsageError: a gate on the latency, which was not measured.
    """
    verdicts = []
    if allowed.drop is not None:
        verdicts.append(_drop(measured, allowed.drop))
    if allowed.class_drop is not None:
        verdicts.append(_class_drop(measured, allowed.class_drop))
    if allowed.slower is not None:
        verdicts.append(_slower(measured, allowed.slower))
    if allowed.larger is not None:
        old, new = measured.old.bytes, measured.new.bytes
        more = 100 * (new / old - 1)
        why = f"{measured.new.file} of {new / 1e6:.2f} MB instead of {measured.old.file} of {old / 1e6:.2f} MB"
        verdicts.append(Verdict("--max-larger", allowed.larger, more, more <= allowed.larger + _ROUNDING, why))
    return verdicts


def _drop(measured: Measured, allowed: float) -> Verdict:
    both = measured.overall
    drop, most = 0.0 - 100 * both.difference, -100 * both.interval[0]  # no "-0.00" for two equal bundles
    worse = both.p / 2  # the gate asks about one direction, in which the exact test has half of its probability
    failed = drop > allowed + _ROUNDING and worse < LEVEL
    why = (
        f"accuracy changed by {-drop:+.2f} points on {count_of(both.images, 'image')}:"
        f" {both.lost:,} from right to wrong, {both.gained:,} from wrong to right,"
        f" McNemar's one-sided {p_value(worse) if drop > 0 else 'p > 0.5'}"
    )
    if not failed and most > allowed:
        why += f"; a drop of up to {most:.2f} points cannot be ruled out with so few images"
    return Verdict("--max-drop", allowed, drop, not failed, why)


def _class_drop(measured: Measured, allowed: float) -> Verdict:
    worse = [
        each
        for each in measured.classes
        if -100 * each.recall.difference > allowed + _ROUNDING and each.p is not None and each.p < LEVEL
    ]
    worse.sort(key=lambda each: each.recall.difference)
    tested = sum(each.p is not None for each in measured.classes)
    largest = max([0.0 - 100 * each.recall.difference for each in worse or measured.classes], default=0.0)
    if not worse:
        why = f"no class lost more beyond chance ({tested:,} of {len(measured.classes):,} changed enough to be tested)"
        return Verdict("--max-class-drop", allowed, largest, True, why)
    named = [
        f"{measured.labels.classes[each.place]} {100 * each.recall.difference:+.2f} points of"
        f" {count_of(each.recall.images, 'image')} ({p_value(each.p or 0.0)})"
        for each in worse
    ]
    return Verdict("--max-class-drop", allowed, largest, False, first_of(named, _NAMED))


def _slower(measured: Measured, allowed: float) -> Verdict:
    if measured.speed is None:
        raise UsageError("--max-slower needs the latency, which was not measured", remedy="Leave out --no-latency.")
    speed = measured.speed
    ratio = speed.times_as_long
    slower = 100 * (ratio.ratio - 1)
    failed = slower > allowed + _ROUNDING and ratio.low > 1
    why = (
        f"{speed.new['p50_ms']:.3g} ms instead of {speed.old['p50_ms']:.3g} ms an image with"
        f" {count_of(speed.threads, 'thread')}: {ratio.ratio:.2f} times as long (95 % interval {ratio.low:.2f} to"
        f" {ratio.high:.2f})"
    )
    return Verdict("--max-slower", allowed, slower, not failed, why)
