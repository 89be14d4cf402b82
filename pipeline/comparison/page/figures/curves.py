"""How the training of each arm went, over its seeds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = ("-", "--", ":")


def arm_curves(trainings: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Drawn:
    """Left: validation accuracy by epoch; right: the loss, as it is weighted. A line for the mean over seeds of each
    arm, and an area from the least to the largest.

    Args:
        trainings: arm → for each of its seeds, the epochs in order, as lines of `metrics.jsonl`.
    """

    def paint(figure: "Figure") -> None:
        accuracy, loss = figure.subplots(1, 2)
        for number, (name, seeds) in enumerate(trainings.items()):
            style = {"color": PALETTE[number % len(PALETTE)], "linestyle": _LINES[number // len(PALETTE) % len(_LINES)]}
            _line(accuracy, [by_epoch(epochs, "validation_top1", 100) for epochs in seeds], name, style)
            _line(loss, [by_epoch(epochs, "loss") for epochs in seeds], name, style)
        accuracy.set(title="validation accuracy", xlabel="epoch", ylabel="top-1, %")
        loss.set(title="loss of training", xlabel="epoch", ylabel="mean of the epoch")
        loss.set_ylim(bottom=0)
        for axes in (accuracy, loss):
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.25)
        handles, names = accuracy.get_legend_handles_labels()
        legend = figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=7.5)
        for text in legend.get_texts():
            text.set_parse_math(False)
        plain_text(accuracy)

    return draw("training-curves", 3.0 + 0.17 * -(-len(trainings) // 2), paint)


def _line(axes: "Axes", seeds: Sequence[Mapping[int, float]], name: str, style: Mapping[str, Any]) -> None:
    epochs, mean, low, high = over_seeds(seeds)
    axes.plot(epochs, mean, label=shortened(name, 56), marker="o" if len(epochs) < 3 else None, markersize=3, **style)
    if len(seeds) > 1:
        axes.fill_between(epochs, low, high, color=style["color"], alpha=0.14, linewidth=0)


def by_epoch(epochs: Sequence[Mapping[str, Any]], key: str, scale: float = 1.0) -> dict[int, float]:
    """Epoch → a figure of `metrics.jsonl`, of those that have it."""
    return {line["epoch"]: scale * line[key] for line in epochs if line.get(key) is not None}


def over_seeds(seeds: Sequence[Mapping[int, float]]) -> tuple[list[int], np.ndarray, np.ndarray, np.ndarray]:
    """Epochs, and the mean, the least and the largest figure of each over the seeds that have it.

    Args:
        seeds: for each seed, epoch → figure.
    """
    epochs = sorted(set().union(*seeds)) if seeds else []
    found = [[figures[epoch] for figures in seeds if epoch in figures] for epoch in epochs]
    mean, low, high = (np.array([of(values) for values in found]) for of in (np.mean, np.min, np.max))
    return epochs, mean, low, high
