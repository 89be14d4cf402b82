"""How many images each arm has right that another has not."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.comparison.wins import Wins
from pipeline.report.page.figures.drawing import Drawn, draw, on_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIGHT = 0.55
"""Share of the scale above which the figures are written in black."""


def wins_by_pair(found: Wins) -> Drawn:
    """Counts of images that the arm of the row has right and that of the column has not.

    Args:
        found: of at least two arms.
    """

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        counts, names = found.over, [on_lines(name, 24) for name in found.names]
        highest = max(1, int(counts.max()))
        shown = np.ma.masked_where(np.eye(len(names), dtype=bool), counts)  # no arm wins over itself
        image = axes.imshow(shown, cmap="cividis", vmin=0, vmax=highest)
        size = 8 if len(names) <= 8 else 6.5
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 4 else 0, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right" if len(names) > 4 else "center")
        for row in range(len(names)):
            for column in range(len(names)):
                if row != column:
                    colour = "black" if counts[row, column] > _LIGHT * highest else "white"
                    axes.text(
                        column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=size
                    )
        axes.set(xlabel="… and this one has not", ylabel="this arm has right …")
        axes.spines[:].set_visible(False)
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            label.set_parse_math(False)
        figure.colorbar(image, ax=axes, label="images", shrink=0.8)

    return draw("wins", 2.2 + 0.42 * len(found.names), paint)
