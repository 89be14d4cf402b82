"""Whether the student is as sure as it is right."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.probabilities import Reliability
from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_diagram(measured: Mapping[str, Reliability]) -> Drawn:
    """Accuracy by confidence, a line for each network, over the shares of images in each bin.

    Args:
        measured: network → its bins, all with as many.
    """

    def paint(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 100], [0, 100], linestyle=":", color=PALETTE[8])
        for number, (colour, (name, bins)) in enumerate(zip(PALETTE, measured.items(), strict=False)):
            filled, width = bins.images > 0, 100 / len(bins.images)
            above.plot(
                100 * bins.confidence[filled], 100 * bins.accuracy[filled], marker="o", markersize=4, color=colour,
                label=f"{name}: ECE {100 * bins.calibration_error:.1f} %",
            )  # fmt: skip
            left = (np.arange(len(bins.images)) + (number + 0.5) / len(measured)) * width
            below.bar(left, 100 * bins.images / bins.images.sum(), width / len(measured) * 0.9, color=colour)
        above.set(ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100))
        above.legend(fontsize=8, loc="upper left")
        below.set(xlabel="confidence, %", ylabel="images, %")
        above.grid(alpha=0.25)
        plain_text(above)

    alt = "; ".join(
        f"{name}: mean confidence {100 * np.average(bins.confidence, weights=bins.images):.1f} %, accuracy"
        f" {100 * np.average(bins.accuracy, weights=bins.images):.1f} %, ECE {100 * bins.calibration_error:.1f} %"
        for name, bins in measured.items()
    )
    return draw("reliability", 4.2, paint, width=5.4, alt=f"{alt}.")
