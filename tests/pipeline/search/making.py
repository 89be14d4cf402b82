"""A search as it is asked for on the tiny recipe."""

from pathlib import Path
from typing import Any

from pipeline.comparison.arms import Source
from pipeline.search.measuring import Measured
from pipeline.search.space import Asked, Bounds, ask

STUDENTS = ("cifar:resnet8", "cifar:resnet14")
COSTS = {
    "cifar:resnet8": {"fp32": Measured(1.0, 1.1, 300_000), "int8": Measured(0.6, 0.7, 100_000)},
    "cifar:resnet14": {"fp32": Measured(2.0, 2.2, 700_000), "int8": Measured(1.2, 1.3, 200_000)},
}


def asked_on(recipe: Path, *overrides: str, **changes: Any) -> Asked:
    """What `search` is asked for: two students, ce and kd, fp32 and int8, rungs of 2 and 4 epochs."""
    given: dict[str, Any] = {
        "students": STUDENTS,
        "precisions": ("fp32", "int8"),
        "methods": ("ce", "kd"),
        "bounds": Bounds(),
        "rungs": 1,
        "reduction": 2,
        "threads": 1,
    }
    return ask(Source(str(recipe), ("train.epochs=4", *overrides)), **(given | changes))
