from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from exporters.core.errors import UsageError
from exporters.fp16.convert import emulate_fp16
from exporters.fp16.plan import plan_fp16
from exporters.fp16.search import search_fp32_blocks
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported
from tests.exporters.onnx.planting import chain, convolutions, error, overflowing


class Counted:
    """A judge that counts how often it was asked."""

    def __init__(self, judge: Callable[[bytes], Sequence[str]]) -> None:
        self.judge, self.calls = judge, 0

    def __call__(self, data: bytes) -> Sequence[str]:
        self.calls += 1
        return self.judge(data)


def logits_judge(reference: np.ndarray, images: np.ndarray, gate: float = 1e-2) -> Counted:
    def judge(data: bytes) -> list[str]:
        logits = OnnxRuntime(data, threads=1).predict(images)
        if not np.isfinite(logits).all():
            return ["not finite"]
        found = float(np.abs(logits - reference).max() / np.abs(reference).max())
        return [] if found <= gate else [f"error {found:.3g}"]

    return Counted(judge)


def in_fp32(data: bytes) -> set[str]:
    """Nodes whose output is fp32."""
    model = onnx.load_from_string(data)
    values = [*model.graph.value_info, *model.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return {node.name for node in model.graph.node if types.get(node.output[0]) == TensorProto.FLOAT}


def needs(*names: str) -> Counted:
    """A judge that wants these nodes in fp32, whatever they compute."""
    return Counted(lambda data: [f"{name} is not fp32" for name in names if name not in in_fp32(data)])


def test_no_fp32_block_where_the_gate_passes(cifar: Exported) -> None:
    judge = logits_judge(cifar.logits, cifar.images)
    result = search_fp32_blocks(cifar.data, judge)
    assert result.failures == [] and result.kept == [] and result.trials == judge.calls == 2
    assert result == search_fp32_blocks(cifar.data, judge)


@pytest.mark.parametrize(("factor", "guided"), [(1e4, True), (1e5, True), (1e5, False), (1e7, True)])
def test_overflowing_nodes_are_found_and_named(cifar: Exported, factor: float, guided: bool) -> None:
    planted, loud, quiet = overflowing(cifar.data, factor)
    judge = logits_judge(cifar.logits, cifar.images)
    whole = search_fp32_blocks(planted, judge, max_trials=1)
    assert whole.failures
    images = cifar.images[:4] if guided else None
    result = search_fp32_blocks(planted, judge, images=images)
    assert result.failures == []
    source = onnx.load_from_string(planted)
    nodes = [node.name for node in source.graph.node]
    users = {value: node for node in source.graph.node for value in node.input}
    relu = users[next(node.output[0] for node in source.graph.node if node.name == loud)]
    assert set(result.kept) == {loud, relu.name, quiet}
    assert result.kept == sorted(result.kept, key=nodes.index)
    assert set(result.reasons) == set(result.kept)
    assert "65504" in result.reasons[relu.name] or not guided
    assert error(cifar.logits, emulate_fp16(result.data), cifar.images) < 1e-2
    assert error(cifar.logits, result.data, cifar.images) < 1e-2
    assert result.trials <= (3 if guided else 24)


def test_a_few_nodes_far_apart_are_found(cifar: Exported) -> None:
    names = [node.name for node in convolutions(onnx.load_from_string(cifar.data))]
    for wanted in ([names[3]], [names[1], names[5]]):
        judge = needs(*wanted)
        result = search_fp32_blocks(cifar.data, judge, emulate=False, max_trials=60)
        assert result.failures == [] and result.kept == wanted
        assert result.trials == judge.calls


def test_few_trials_give_a_larger_block_or_a_failure(cifar: Exported) -> None:
    names = [node.name for node in convolutions(onnx.load_from_string(cifar.data))]
    for budget in (1, 2, 3, 5, 8):
        judge = needs(names[2])
        result = search_fp32_blocks(cifar.data, judge, emulate=False, max_trials=budget)
        assert judge.calls == result.trials <= budget
        if result.failures:
            assert budget <= 3 and result.kept == []
        else:
            assert names[2] in result.kept and not judge(result.data)


def test_failure_says_that_nothing_short_of_fp32_passes(cifar: Exported) -> None:
    whole = Counted(lambda data: ["half"] if plan_fp16(cifar.data).fp16[0] not in in_fp32(data) else [])
    assert search_fp32_blocks(cifar.data, whole, emulate=False).failures == []

    def strict(data: bytes) -> list[str]:
        model = onnx.load_from_string(data)
        return ["16 bits inside"] if any(t.data_type == TensorProto.FLOAT16 for t in model.graph.initializer) else []

    judge = Counted(strict)
    result = search_fp32_blocks(cifar.data, judge, emulate=False, max_trials=12)
    assert result.trials == judge.calls <= 12
    assert result.failures[0] == "16 bits inside" and "nothing short of all" in result.failures[-1]
    assert result.kept == [] and strict(result.data)

    never = search_fp32_blocks(cifar.data, Counted(lambda data: ["no"]), emulate=False)
    assert never.failures == ["no", "all nodes in fp32 fail too: no"] and never.trials == 2


def test_search_starts_at_the_first_deviation() -> None:
    """Large numbers of which only the differences matter: nothing overflows, and fp16 has too few digits for them."""
    random = np.random.default_rng(1)
    differences = np.eye(8) - np.roll(np.eye(8), 1, axis=0)
    weights = [50 + random.normal(size=(3, 8)), differences, random.normal(size=(8, 8)), random.normal(size=(8, 4))]
    images = random.integers(0, 256, (6, 2, 2, 3)).astype(np.uint8)
    data = chain(weights)
    judge = logits_judge(OnnxRuntime(data, threads=1).predict(images), images)
    assert search_fp32_blocks(data, judge, max_trials=1).failures
    result = search_fp32_blocks(data, judge, images=images)
    assert result.failures == [] and result.kept == ["matmul0", "relu0", "matmul1"]
    assert "near MatMul matmul1" in result.reasons["matmul1"]


def test_search_without_trials_is_refused(cifar: Exported) -> None:
    with pytest.raises(UsageError, match="max_trials is 0"):
        search_fp32_blocks(cifar.data, needs(), max_trials=0)
