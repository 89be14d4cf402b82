"""Finds the nodes that must stay fp32 so that an fp16 file passes its gate, by judging candidate files."""

import hashlib
import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exporters.core.errors import UsageError
from exporters.core.progress import working
from exporters.fp16.convert import emulate_fp16, to_fp16, write_fp16
from exporters.fp16.plan import MOVERS, Decision
from exporters.fp16.rounding import LARGEST
from exporters.onnx.deviation import first_deviation
from exporters.onnx.graph import node_name
from exporters.onnx.intermediates import largest_values

Judge = Callable[[bytes], Sequence[str]]
"""The reasons why a file fails its gate; an empty sequence passes."""

_BOUND = 1e-2  # about 20 roundings
_WINDOWS = (1, 4, 16)


@dataclass(frozen=True)
class Fp16Result:
    """Result of the search.

    Args:
        data: bytes of the file; where no set of fp32 blocks passes, the file without the blocks that were searched for.
        kept: names of the nodes that compute in fp32, in the order of the file; those before the first weight, which
            always do, are not listed.
        reasons: why each of them does, by name.
        vanishing: fp16 weights of which non-zero values became 0, by name with the number of such values.
        trials: number of files that were judged.
        failures: of `data`; empty if it passed.
    """

    data: bytes
    kept: list[str]
    reasons: dict[str, str]
    vanishing: dict[str, int]
    trials: int
    failures: list[str]


def search_fp32_blocks(
    model: bytes,
    judge: Judge,
    *,
    max_trials: int = 24,
    images: np.ndarray | None = None,
    emulate: bool = True,
) -> Fp16Result:
    """Convert to fp16 with as few nodes in fp32 as the judge accepts.

    Tried in this order until one passes: no fp32 block; the nodes that touch a value beyond fp16's largest (seen in
    fp32 on the images); these together with a growing neighbourhood of the first node that deviates. If none passes,
    all nodes are bisected. A neighbourhood or bisection that passes is made smaller by delta debugging (Zeller and
    Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 2002) until nothing can be removed or the
    trials are used up.

    Args:
        model: bytes of the proved fp32 file.
        judge: see `Judge`.
        max_trials: most files to judge, 1 or more.
        images: a few prepared images, uint8 `[n, size, size, 3]`, that guide the search; None bisects at once.
        emulate: judge what a device with fp16 kernels would compute (`emulate_fp16`), and a passing file once more as
            it is. False where the judge's runtime has such kernels itself, as on a GPU.

    Raises:
        UsageError: no trial allowed.
        UnavailableError, GateError: as `to_fp16`.
    """
    if max_trials < 1:
        raise UsageError(f"max_trials is {max_trials}; the file has to be judged at least once")
    return _Search(model, judge, max_trials, images, emulate).run()


class _NoTrialLeftError(Exception):
    """All trials are used up."""


class _Search:
    """Inputs of the fp32 block search (model, judge, trials, sample images), and what it has judged so far."""

    def __init__(self, model: bytes, judge: Judge, max_trials: int, images: np.ndarray | None, emulate: bool) -> None:
        self.model, self.judge, self.images, self.emulate = model, judge, images, emulate
        # One trial is set aside to judge the file as it is at the end.
        self.verifies = emulate and max_trials > 1
        self.most = max_trials
        self.left = max_trials - int(self.verifies)
        self.trials = 0
        self.known: dict[str, list[str]] = {}
        self.reasons: dict[str, str] = {}

    def run(self) -> Fp16Result:
        first = self._failures(())
        if not first:
            return self._result((), [])
        try:
            keep = self._guided()
            if keep is None:
                keep, failures = self._bisected()
                if keep is None:
                    return self._result((), [*first, *failures])
        except _NoTrialLeftError:
            return self._result((), [*first, f"no set of fp32 nodes that passes was found in {self.trials} trials"])
        return self._result(keep, [])

    def _guided(self) -> list[str] | None:
        """The nodes that overflow, then the surroundings of the first deviation; None where neither passes."""
        if self.images is None:
            return None
        keep = self._overflowing()
        if keep and not self._failures(keep):
            return keep
        candidate = emulate_fp16(to_fp16(self.model, keep_float=keep))
        deviation = first_deviation(self.model, candidate, self.images, bound=_BOUND)
        nodes = self._movable
        if deviation is None or deviation.node not in nodes:
            return None
        place = nodes.index(deviation.node)
        for width in _WINDOWS:
            # The precision seen missing at one node was lost there or before it.
            window = nodes[max(0, place + 1 - width) : place + 1 + width // 4]
            if not self._failures([*keep, *window]):
                reason = f"near {deviation.operator} {deviation.node}, where the values first deviate"
                return self._shrunk(window, keep, reason)
        return None

    def _overflowing(self) -> list[str]:
        assert self.images is not None
        largest = largest_values(self.model, self.images)
        nodes = set(self._movable)
        for node in self._whole.nodes:
            values = [largest.get(value, 0.0) for value in [*node.input, *node.output]]
            worst = max(values, default=0.0)
            if worst > LARGEST and node_name(node) in nodes:
                self.reasons[node_name(node)] = f"meets values of {worst:.3g}, beyond fp16's {LARGEST:.5g}"
        return [name for name in self._movable if name in self.reasons]

    def _bisected(self) -> tuple[list[str] | None, list[str]]:
        self._use_trial()
        failures = self._judged(self.model)
        if failures:
            return None, [f"all nodes in fp32 fail too: {failure}" for failure in failures]
        nodes = self._movable
        keep = self._shrunk(nodes, [], "the gate fails with it in fp16")
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
        except _NoTrialLeftError:
            pass  # the smallest part that has passed so far is used
        self.reasons.update((name, reason) for name in nodes if name not in base)
        return [*base, *nodes]

    @cached_property
    def _whole(self) -> Decision:
        return Decision(self.model, ())

    @cached_property
    def _movable(self) -> list[str]:
        """Nodes that compute in fp16 where none is kept in fp32, without those that only move values."""
        names = [node_name(node) for node in self._whole.nodes if node.op_type not in MOVERS]
        return [name for name in names if name in self._whole.slots]

    def _failures(self, keep: Collection[str]) -> list[str]:
        """The judge's reasons against the file with these nodes in fp32; the same file is judged only once."""
        decision = Decision(self.model, keep)
        if decision.plan().weighted == 0:
            return ["no convolution or matrix product is left in fp16"]
        data = write_fp16(decision)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.known:
            self._use_trial()
            self.known[digest] = self._judged(emulate_fp16(data) if self.emulate else data)
        return self.known[digest]

    def _judged(self, data: bytes) -> list[str]:
        with working(f"try {self.trials} of at most {self.most}"):
            return list(self.judge(data))

    def _use_trial(self) -> None:
        if self.left == 0:
            raise _NoTrialLeftError
        self.left -= 1
        self.trials += 1

    def _result(self, keep: Collection[str], failures: list[str]) -> Fp16Result:
        decision = Decision(self.model, keep)
        data, plan = write_fp16(decision), decision.plan()
        if not failures and self.verifies:
            self.trials += 1
            failures = self._judged(data)
        reasons = {name: self.reasons.get(name, reason) for name, reason in plan.fp32.items()}
        return Fp16Result(data, list(reasons), reasons, plan.vanishing, self.trials, failures)
