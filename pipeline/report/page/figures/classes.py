"""Which classes the student knows and which it mixes up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.confusion import top_confusions
from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 40
"""Classes whose names fit along a matrix."""
_CELLS = 100
"""Cells along a matrix, at most: more could not be told apart."""
_CLOSE = 30
"""Classes of the close-up, at most."""
_BARS = 30
"""Classes that are shown as bars: the worst ones."""


def confusion_matrix(counts: np.ndarray, order: np.ndarray, classes: Sequence[str]) -> Drawn:
    """Shares of each true class (row) by answer (column), classes in the given order.

    Of more than 100 classes, neighbours in that order share a cell.

    Args:
        counts: int64 `[K, K]` of `confusion_counts`.
        order: `[K]` of `clustered_order`.
        classes: names.
    """
    ordered = counts[np.ix_(order, order)]
    together = -(-len(order) // _CELLS)
    shares = 100 * grouped_shares(ordered, together)
    right = 100 * counts.diagonal().sum() / max(1, counts.sum())
    alt = f"Confusion matrix of {len(order)} classes: {right:.1f} % of the images are right. {_pairs(counts, classes)}"

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        several = f" ({together} to a cell)" if together > 1 else ""
        _matrix(figure, axes, shares, f"% of the true class{'es' if several else ''}")
        axes.set(xlabel=f"answer{several}", ylabel=f"true class{several}")
        axes.set(xticks=[], yticks=[])
        if len(order) <= _NAMED:
            _name_both(axes, [classes[label] for label in order])

    return draw("confusion-matrix", 6.2, paint, alt=alt)


def confusion_closeup(counts: np.ndarray, order: np.ndarray, classes: Sequence[str]) -> Drawn | None:
    """The part of a confusion matrix that has most confusions, with names; None where the whole has names, or where
    nothing is mixed up.

    Args:
        counts, order, classes: as of `confusion_matrix`.
    """
    worst: dict[int, None] = {}
    for pair in top_confusions(counts, _CLOSE):
        if len({*worst, pair.true, pair.answer}) <= _CLOSE:
            worst |= dict.fromkeys((pair.true, pair.answer))
    if len(order) <= _NAMED or not worst:
        return None
    chosen = [int(label) for label in order if int(label) in worst]
    shares = 100 * counts[np.ix_(chosen, chosen)] / np.maximum(counts[chosen].sum(axis=1, keepdims=True), 1)

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        _matrix(figure, axes, shares, "% of the true class")
        axes.set(xlabel="answer", ylabel="true class")
        _name_both(axes, [classes[label] for label in chosen])

    alt = f"Confusion matrix of the {len(chosen)} classes that are mixed up most. {_pairs(counts, classes)}"
    return draw("confusion-closeup", 6.2, paint, alt=alt)


def grouped_shares(counts: np.ndarray, together: int) -> np.ndarray:
    """Shares of rows by columns where so many neighbouring classes count as one: `[K, K]` → `[G, G]`, rows sum to 1,
    or to 0 without images."""
    starts = np.arange(0, len(counts), together)
    grouped = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    shares: np.ndarray = grouped / np.maximum(grouped.sum(axis=1, keepdims=True), 1)
    return shares


def _matrix(figure: "Figure", axes: "Axes", percent: np.ndarray, label: str) -> None:
    image = axes.imshow(percent, cmap="cividis", vmin=0, vmax=100, aspect="equal")
    figure.colorbar(image, ax=axes, label=label, shrink=0.7)


def _name_both(axes: "Axes", names: Sequence[str]) -> None:
    size = 8 if len(names) <= 20 else 5.5
    short = [shortened(name) for name in names]
    axes.set_xticks(range(len(short)), short, rotation=90, fontsize=size)
    axes.set_yticks(range(len(short)), short, fontsize=size)
    plain_text(axes)


def _pairs(counts: np.ndarray, classes: Sequence[str]) -> str:
    pairs = [
        f"{classes[pair.true]} for {classes[pair.answer]} ({pair.images} of {pair.of})"
        for pair in top_confusions(counts, 3)
    ]
    return f"Most often taken: {'; '.join(pairs)}." if pairs else "Nothing is mixed up."


def class_spread(recalls: Sequence[float | None]) -> Drawn | None:
    """How many classes have which accuracy; None where all classes have a bar of `class_bars`.

    Args:
        recalls: as of `class_bars`.
    """
    known = np.array([100 * value for value in recalls if value is not None])
    if len(known) <= _BARS:
        return None

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.hist(known, bins=np.linspace(0, 100, 11).tolist(), color=PALETTE[0])
        axes.axvline(float(np.median(known)), color=PALETTE[1], label=f"median {np.median(known):.1f} %")
        axes.set(xlim=(0, 100), xlabel="accuracy on test, %", ylabel="classes")
        axes.legend(fontsize=8)

    low, middle, high = np.percentile(known, (10, 50, 90))
    alt = (
        f"Accuracy of {len(known)} classes: a tenth is below {low:.1f} %, half below {middle:.1f} %,"
        f" a tenth above {high:.1f} %."
    )
    return draw("class-spread", 2.2, paint, alt=alt)


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

    low = ", ".join(f"{classes[label]} {100 * value:.1f} %" for value, label in worst[:3])
    alt = (
        f"Accuracy of the {len(worst)} worst of {len(known)} classes, from {low}, up to {100 * worst[-1][0]:.1f} %."
        if worst
        else ""
    )
    return draw("class-accuracy", 0.9 + 0.21 * len(worst), paint, alt=alt)
