from types import SimpleNamespace
from typing import Any

import pytest

from exporters.core.errors import UsageError
from exporters.tensorrt.parsing import batch_shapes


def network(batch: int) -> Any:
    return SimpleNamespace(get_input=lambda _index: SimpleNamespace(shape=(batch, 32, 32, 3)))


def test_dynamic_batch_has_a_shape_for_each_size() -> None:
    assert batch_shapes(network(-1), (1, 4, 8)) == [(1, 32, 32, 3), (4, 32, 32, 3), (8, 32, 32, 3)]
    with pytest.raises(UsageError, match="the model's batch is dynamic"):
        batch_shapes(network(-1), None)


def test_fixed_batch_refuses_other_sizes() -> None:
    assert batch_shapes(network(2), None) is None and batch_shapes(network(2), (2, 2, 2)) is None
    with pytest.raises(UsageError, match=r"fixed at 2, not \[1, 4, 8\]"):
        batch_shapes(network(2), (1, 4, 8))
