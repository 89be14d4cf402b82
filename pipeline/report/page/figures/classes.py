"""Which classes the student knows and which it mixes up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMED = 40
"""Classes whose names fit along a matrix."""
_BARS = 30
"""Classes that are shown as bars: the worst ones."""


def confusion_matrix(counts: np.ndarray, order: np.ndarray, classes: Sequence[str]) -> Drawn:
    """Shares of each true class (row) by answer (column), classes in the given order.

    Args:
        counts: int64 `[K, K]` of `confusion_counts`.
        order: `[K]` of `clustered_order`.
        classes: names.
    """

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        ordered = counts[np.ix_(order, order)]
        shares = ordered / np.maximum(ordered.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(100 * shares, cmap="cividis", vmin=0, vmax=100, aspect="equal")
        axes.set(xlabel="answer", ylabel="true class")
        if len(order) <= _NAMED:
            names = [shortened(classes[label]) for label in order]
            size = 8 if len(order) <= 20 else 5.5
            axes.set_xticks(range(len(order)), names, rotation=90, fontsize=size)
            axes.set_yticks(range(len(order)), names, fontsize=size)
            plain_text(axes)
        figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.7)

    return draw("confusion-matrix", 6.2, paint)


def class_bars(recalls: Sequence[float | None], images: np.ndarray, classes: Sequence[str]) -> Drawn:
    """Accuracy of the classes with fewest right answers, with 95 % intervals (Wilson).

    Args:
        recalls: accuracy of each class, None for one without images.
        images: int64 `[K]`, test images of each class.
        classes: names.
    """
    from exporters.parity.intervals import wilson_interval

    known = [(value, label) for label, value in enumerate(recalls) if value is not None]
    worst = sorted(known)[:_BARS]

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        values = np.array([100 * value for value, _label in worst])
        bounds = np.array(
            [wilson_interval(round(value * int(images[label])), int(images[label])) for value, label in worst]
        )
        errors = np.abs(100 * bounds.T - values)
        axes.barh(range(len(worst)), values, color=PALETTE[0], height=0.62)
        axes.errorbar(values, range(len(worst)), xerr=errors, fmt="none", ecolor=PALETTE[8], elinewidth=1.2)
        axes.set_yticks(range(len(worst)), [shortened(classes[label], 34) for _value, label in worst])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy on test, % (95 % interval)")
        plain_text(axes)

    return draw("class-accuracy", 0.9 + 0.21 * len(worst), paint)
