"""Where each network looks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from exporters.images.overlay import overlay
from pipeline.report.page.figures.drawing import INK, PALETTE, Drawn, draw, on_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RIGHT, _WRONG = PALETTE[2], PALETTE[1]

ACROSS = 5
"""Networks that fit side by side."""


def attention_maps(
    pictures: np.ndarray,
    titles: Sequence[str],
    maps: Mapping[str, np.ndarray],
    answers: Mapping[str, Sequence[str]],
    right: Mapping[str, np.ndarray],
) -> Drawn:
    """Images in a row each: the image, and over it the activation map of each network's answer. Where there are more
    than `ACROSS` networks, images in a column each, so that pictures stay large.

    Args:
        pictures: uint8 `[S, H, W, 3]`.
        titles: the true classes.
        maps: network → `[S, h, w]` in [0, 1].
        answers: network → the class that it names for each image.
        right: network → bool `[S]`.
    """
    down = len(maps) > ACROSS

    def paint(figure: "Figure") -> None:
        images, lines = len(pictures), 1 + len(maps)
        grid = figure.subplots(lines, images, squeeze=False) if down else figure.subplots(images, lines, squeeze=False)
        cells = grid if down else grid.T  # a line for the images, and for each network
        for place, picture in enumerate(pictures):
            cells[0, place].imshow(picture)
            _label(cells[0, place], titles[place], None)
            for line, (name, values) in enumerate(maps.items(), start=1):
                axes = cells[line, place]
                axes.imshow(overlay(picture, values[place]))
                _label(axes, answers[name][place], bool(right[name][place]))
        for line, name in enumerate(["image", *maps]):
            if down:
                cells[line, 0].set_ylabel(on_lines(name, 18), fontsize=8)
            else:
                cells[line, 0].set_title(on_lines(name, 22))
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)

    alt = "; ".join(
        f"{title}: {', '.join(f'{name} says {answers[name][row]}' for name in maps)}"
        for row, title in enumerate(titles)
    )
    height = 1.28 * (1 + len(maps)) + 0.1 if down else 1.7 * len(pictures) + 0.2
    return draw("attention-maps", height, paint, alt=f"Images by class, with the answers. {alt}.")


def _label(axes: "Axes", name: str, right: bool | None) -> None:
    mark = {None: "", True: "✓ ", False: "✗ "}[right]
    colour = {None: INK, True: _RIGHT, False: _WRONG}[right]
    axes.set_xlabel(f"{mark}{on_lines(name)}", fontsize=7, labelpad=2, color=colour)
    axes.xaxis.label.set_parse_math(False)
