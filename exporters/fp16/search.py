"""Which nodes must stay fp32 so that a 16-bit file passes its gate? Found by trying, on the nodes of the file."""

import hashlib
import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from exporters.core.errors import UsageError
from exporters.core.progress import working
from exporters.fp16.convert import emulate_half, to_half, write_half
from exporters.fp16.plan import MOVERS, Decision, node_name
from exporters.fp16.rounding import LARGEST, HalfType
from exporters.onnx.deviation import first_deviation
from exporters.onnx.intermediates import largest_values

Judge = Callable[[bytes], Sequence[str]]

_BOUND: dict[HalfType, float] = {"fp16": 1e-2, "bf16": 8e-2}  # about 20 roundings
_WINDOWS = (1, 4, 16)


@dataclass(frozen=True)
class HalfResult:
    """What the search found.

    Args:
        data: bytes of the file; where no set of islands was found, the file without those that were searched for.
        dtype: `fp16` or `bf16`.
        kept: names of the nodes that compute in fp32, in the order of the file; those before the first weight, which
            always do, are not among them.
        reasons: each of them, with why.
        vanishing: name of each 16-bit weight to how many of its non-zero values became 0.
        trials: how many files were judged.
        failures: empty if the judge passed `data`.
    """

    data: bytes
    dtype: HalfType
    kept: list[str]
    reasons: dict[str, str]
    vanishing: dict[str, int]
    trials: int
    failures: list[str]

    def to_json(self) -> dict[str, Any]:
        """All but the file, as plain JSON."""
        return {key: value for key, value in asdict(self).items() if key != "data"}


def search_islands(
    model: bytes,
    judge: Judge,
    *,
    dtype: HalfType = "fp16",
    max_trials: int = 24,
    images: np.ndarray | None = None,
    emulate: bool = True,
) -> HalfResult:
    """Make a 16-bit file that the judge passes, with few nodes in fp32.

    Tried in this order until one passes: no island; the nodes that touch a value beyond the type's largest (seen in
    fp32 on the images); these with a growing neighbourhood of the first node that deviates. If none does, all nodes are
    bisected. A passing neighbourhood or bisection is made smaller by delta debugging (Zeller and Hildebrandt,
    "Simplifying and isolating failure-inducing input", IEEE TSE 2002) until nothing can go or the trials are spent.

    Args:
        model: bytes of the proved fp32 file.
        judge: what the gate has against a file; an empty sequence passes.
        max_trials: most files to judge, 1 or more.
        images: a few prepared images, uint8 `[n, size, size, 3]`, that guide the search; None bisects at once.
        emulate: judge what a device with 16-bit kernels would compute (`emulate_half`), and a passing fp16 file once
            more as it is. False where the judge's runtime has such kernels itself, as on a GPU.

    Raises:
        UsageError: no trial allowed.
        UnavailableError, GateError: as `to_half`.
    """
    if max_trials < 1:
        raise UsageError(f"max_trials is {max_trials}; the file has to be judged at least once")
    return _Search(model, judge, dtype, max_trials, images, emulate).run()


class _SpentError(Exception):
    """No trial is left."""


class _Search:
    def __init__(
        self, model: bytes, judge: Judge, dtype: HalfType, max_trials: int, images: np.ndarray | None, emulate: bool
    ) -> None:
        self.model, self.judge, self.dtype, self.images, self.emulate = model, judge, dtype, images, emulate
        # The file as it is gets one trial of its own at the end.
        self.verifies = emulate and dtype == "fp16" and max_trials > 1
        self.most = max_trials
        self.left = max_trials - int(self.verifies)
        self.trials = 0
        self.known: dict[str, list[str]] = {}
        self.reasons: dict[str, str] = {}

    def run(self) -> HalfResult:
        first = self._failures(())
        if not first:
            return self._result((), [])
        try:
            keep = self._guided()
            if keep is None:
                keep, failures = self._bisected()
                if keep is None:
                    return self._result((), [*first, *failures])
        except _SpentError:
            return self._result((), [*first, f"no set of fp32 nodes that passes was found in {self.trials} trials"])
        return self._result(keep, [])

    def _guided(self) -> list[str] | None:
        """The values that overflow, then the surroundings of the first deviation."""
        if self.images is None:
            return None
        keep = self._overflowing()
        if keep and not self._failures(keep):
            return keep
        candidate = to_half(self.model, dtype=self.dtype, keep_float=keep)
        deviation = first_deviation(self.model, candidate, self.images, bound=_BOUND[self.dtype])
        nodes = self._movable
        if deviation is None or deviation.node not in nodes:
            return None
        place = nodes.index(deviation.node)
        for width in _WINDOWS:
            # What is seen at one node was lost there or before it.
            window = nodes[max(0, place + 1 - width) : place + 1 + width // 4]
            if not self._failures([*keep, *window]):
                reason = f"near {deviation.operator} {deviation.node}, where the values first deviate"
                return self._shrunk(window, keep, reason)
        return None

    def _overflowing(self) -> list[str]:
        assert self.images is not None
        largest = largest_values(self.model, self.images)
        limit = LARGEST[self.dtype]
        nodes = set(self._movable)
        for node in self._whole.nodes:
            values = [largest.get(value, 0.0) for value in [*node.input, *node.output]]
            worst = max(values, default=0.0)
            if worst > limit and node_name(node) in nodes:
                self.reasons[node_name(node)] = f"meets values of {worst:.3g}, beyond {self.dtype}'s {limit:.5g}"
        return [name for name in self._movable if name in self.reasons]

    def _bisected(self) -> tuple[list[str] | None, list[str]]:
        self._spend()
        failures = self._judged(self.model)
        if failures:
            return None, [f"all nodes in fp32 fail too: {failure}" for failure in failures]
        nodes = self._movable
        keep = self._shrunk(nodes, [], f"the gate fails with it in {self.dtype}")
        if set(keep) >= set(nodes):
            return None, [f"nothing short of all {len(nodes)} nodes in fp32 passes, of what {self.trials} trials saw"]
        return keep, []

    def _shrunk(self, nodes: list[str], base: list[str], reason: str) -> list[str]:
        """Delta debugging: a smaller part of `nodes` that passes together with `base`."""
        parts = 2
        try:
            while len(nodes) >= 2:
                bounds = np.linspace(0, len(nodes), parts + 1).astype(int)
                chunks = [nodes[start:end] for start, end in itertools.pairwise(bounds)]
                rests = [[name for name in nodes if name not in chunk] for chunk in chunks] if parts > 2 else []
                smaller = next((part for part in [*chunks, *rests] if not self._failures([*base, *part])), None)
                if smaller is not None:
                    parts = 2 if smaller in chunks else max(parts - 1, 2)
                    nodes = smaller
                elif parts < len(nodes):
                    parts = min(2 * parts, len(nodes))
                else:
                    break
        except _SpentError:
            pass  # what passed so far stands
        self.reasons.update((name, reason) for name in nodes if name not in base)
        return [*base, *nodes]

    @cached_property
    def _whole(self) -> Decision:
        return self._decision(())

    @cached_property
    def _movable(self) -> list[str]:
        """Nodes that whole 16 bits would compute so, without those that only pass values on."""
        names = [node_name(node) for node in self._whole.nodes if node.op_type not in MOVERS]
        return [name for name in names if name in self._whole.half]

    def _decision(self, keep: Collection[str]) -> Decision:
        return Decision(self.model, self.dtype, keep)

    def _failures(self, keep: Collection[str]) -> list[str]:
        """What the judge has against the file with these nodes in fp32; the same file is judged once."""
        decision = self._decision(keep)
        if decision.plan().weighted == 0:
            return [f"no convolution or matrix product is left in {self.dtype}"]
        data = write_half(decision)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.known:
            self._spend()
            self.known[digest] = self._judged(emulate_half(data) if self.emulate else data)
        return self.known[digest]

    def _judged(self, data: bytes) -> list[str]:
        with working(f"try {self.trials} of at most {self.most}"):
            return list(self.judge(data))

    def _spend(self) -> None:
        if self.left == 0:
            raise _SpentError
        self.left -= 1
        self.trials += 1

    def _result(self, keep: Collection[str], failures: list[str]) -> HalfResult:
        decision = self._decision(keep)
        data, plan = write_half(decision), decision.plan()
        if not failures and self.verifies:
            self.trials += 1
            failures = self._judged(data)
        reasons = {name: self.reasons.get(name, reason) for name, reason in plan.islands.items()}
        return HalfResult(data, self.dtype, list(reasons), reasons, plan.vanishing, self.trials, failures)
