"""Figures of a data set: images of each class, sizes and shapes."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.inspection.inspect import Inspection
from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text, shortened
from pipeline.report.page.steps import Sketch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS: dict[str, tuple[str, str]] = {
    "class-counts": (
        "Images of each class",
        "By split. Where there are many classes, each curve begins with the largest class of its split.",
    ),
    "image-sizes": (
        "Sizes and shapes",
        "Left: side of each image, the root of its area. Right: width / height, above 1 for landscape images.",
    ),
}
"""Figure → its title and what it shows."""

_NAMED = 40
"""Classes whose names fit along the bars."""


def figures_of_data(inspection: Inspection) -> list[Sketch]:
    """Each figure of a data set that has images."""
    sketches = []
    if inspection.listing.classes:
        sketches.append(Sketch("class-counts", partial(class_counts, inspection)))
    sides = inspection.sides()
    if len(sides):
        sketches.append(Sketch("image-sizes", partial(image_sizes, sides)))
    return sketches


def class_counts(inspection: Inspection) -> Drawn:
    """Images of each class by split: bars with names, or curves where there are many classes."""
    classes = inspection.listing.classes
    counts = {name: inspection.class_counts(name) for name in inspection.splits}
    order = np.argsort(-next(iter(counts.values())), kind="stable")
    named = len(classes) <= _NAMED

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        (axes.xaxis if named else axes.yaxis).set_major_locator(MaxNLocator(integer=True))
        height = 0.8 / len(counts)
        for number, (name, own) in enumerate(counts.items()):
            colour = PALETTE[number % len(PALETTE)]
            if named:
                places = np.arange(len(order)) + (number - (len(counts) - 1) / 2) * height
                axes.barh(places, own[order], height=height, color=colour, label=name)
            else:
                axes.step(np.arange(1, len(own) + 1), np.sort(own)[::-1], where="mid", color=colour, label=name)
        if named:
            axes.set_yticks(range(len(order)), [shortened(classes[label], 34) for label in order])
            axes.invert_yaxis()
            axes.set_xlabel("images")
        else:
            axes.set(xlabel="classes, the largest first", ylabel="images", ylim=(0, None))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(counts))
        plain_text(axes)

    return draw("class-counts", 0.9 + 0.26 * len(order) if named else 3.0, paint)


def image_sizes(sides: np.ndarray) -> Drawn:
    """Histograms of side and of width / height.

    Args:
        sides: width and height, `[N, 2]`.
    """
    roots = np.sqrt(sides.astype(np.float64).prod(axis=1))
    ratios = sides[:, 0] / sides[:, 1]

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

        for axes, values, what in zip(
            figure.subplots(1, 2), (roots, ratios), ("side, pixels", "width / height"), strict=True
        ):
            low, high = max(values.min(), 1e-3) * 0.95, values.max() * 1.05
            axes.hist(values, bins=np.geomspace(low, high, 41), color=PALETTE[0])
            axes.set(xscale="log", xlabel=what, ylabel="images")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.xaxis.set_minor_formatter(NullFormatter())

    return draw("image-sizes", 2.6, paint)
