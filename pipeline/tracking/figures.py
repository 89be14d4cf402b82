"""The figures of a run as trackers take them: flat, numbers by name, settings as text."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.metrics_log import read_epochs
from pipeline.tracking.interface import Epoch
from pipeline.tracking.names import figure_name

_NOT_OF_THE_RUN = ("lock", "track")
"""Sections of a recipe that nothing of a run follows from."""


def epochs_of(metrics: Path) -> list[Epoch]:
    """The epochs of `metrics.jsonl`, in the order of the file.

    A figure is named by its path, `distill/loss` or `distill/time/parts/data`; what is no number is left out.
    """
    return [_epoch(training, number, line) for training, number, line in read_epochs(metrics)]


def _epoch(training: str, number: int, line: dict[str, Any]) -> Epoch:
    figures = {key: value for key, value in line.items() if key not in ("stage", "epoch", "pass")}
    values = {figure_name(training, *path): float(value) for path, value in _leaves(figures) if _is_number(value)}
    lasting = {key: value for key, value in figures.items() if key != "time"}
    return Epoch(training, number, values, digest(lasting)[:16])


def parameters_of(recipe: Recipe) -> dict[str, str]:
    """Dotted key → value as text, for every key of the recipe, with its default, outside of `lock` and `track`.

    Lists and empty sections are written as in JSON.
    """
    values = {key: value for key, value in recipe.resolved().items() if key not in _NOT_OF_THE_RUN}
    return {
        ".".join(path): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for path, value in _leaves(values)
    }


def identity_of(recipe: Recipe, place: str) -> str:
    """Digest of what a tracker's run is bound to: the place and the recipe.

    The device and the hashes of weights do not count: `recipe.lock.yaml` fills them in.
    """
    kept = {
        key: value
        for key, value in parameters_of(recipe).items()
        if key != "device" and key.rpartition(".")[2] != "sha256"
    }
    return digest({"parameters": kept, "place": place})


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    elif path:
        yield path, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
