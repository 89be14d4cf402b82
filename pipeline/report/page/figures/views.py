"""The teacher's views: what it sees, and how much each counts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(pictures: np.ndarray, weights: np.ndarray, names: Sequence[str], titles: Sequence[str]) -> Drawn:
    """Images in a row each, a column for each view, with its weight below.

    Args:
        pictures: uint8 `[S, V, H, W, 3]`.
        weights: `[S, V]`, rows sum to 1.
        names: of the views.
        titles: of the images.
    """
    rows, columns = pictures.shape[:2]

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for row in range(rows):
            best = int(weights[row].argmax())
            for column in range(columns):
                axes = grid[row, column]
                axes.imshow(pictures[row, column])
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                axes.set_xlabel(
                    f"{100 * weights[row, column]:.0f} %", fontsize=8, labelpad=2,
                    fontweight="bold" if column == best else "normal",
                )  # fmt: skip
                if row == 0:
                    axes.set_title(names[column].replace("_", " "))
            grid[row, 0].set_ylabel(shortened(titles[row], 18), fontsize=7)
            grid[row, 0].yaxis.label.set_parse_math(False)

    alt = "; ".join(
        f"{title}: {', '.join(f'{name} {100 * weight:.0f} %' for name, weight in zip(names, own, strict=True))}"
        for title, own in zip(titles, weights, strict=True)
    )
    return draw("view-gallery", 1.35 * rows + 0.2, paint, alt=f"Weights of the views. {alt}.")


def weights_by_class(
    weights: np.ndarray, labels: np.ndarray, names: Sequence[str], classes: Mapping[int, str]
) -> Drawn:
    """Mean weight of each view for some classes, stacked.

    Args:
        weights: `[M, V]`, rows sum to 1.
        labels: `[M]`.
        names: of the views.
        classes: label → name, of the classes that are drawn.
    """
    present = [label for label in classes if (labels == label).any()]
    means = np.stack([weights[labels == label].mean(axis=0) for label in present])

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        left = np.zeros(len(present))
        for colour, name, values in zip(PALETTE, names, means.T, strict=False):
            axes.barh(range(len(present)), 100 * values, left=100 * left, color=colour, label=name.replace("_", " "))
            left += values
        axes.set_yticks(range(len(present)), [shortened(classes[label], 30) for label in present])
        for place in range(1, len(names)):
            axes.axvline(100 * place / len(names), color="white", linewidth=0.8, linestyle=":")
        axes.invert_yaxis()
        axes.set(xlim=(0, 100), xlabel="mean weight, % (dots: equal weights)")
        axes.legend(ncols=5, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
        plain_text(axes)

    alt = "; ".join(
        f"{classes[label]}: most {names[int(own.argmax())]}, {100 * own.max():.0f} %"
        for label, own in zip(present, means, strict=True)
    )
    return draw("view-weights", 1.1 + 0.25 * len(present), paint, alt=f"{alt}.")
