"""What is left of the accuracy on corrupted images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def corruption_lines(top1: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Drawn:
    """Accuracy by severity, a panel for each kind of corruption, a line for each network.

    Args:
        top1: network → kind → severity, as text → accuracy; the kind `clean` has severity 0, and is drawn in all.
    """
    kinds = [kind for kind in next(iter(top1.values())) if kind != "clean"]

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(2, -(-len(kinds) // 2), sharey=True, sharex=True, squeeze=False)
        for axes, kind in zip(grid.flat, kinds, strict=False):
            for colour, (name, values) in zip(PALETTE, top1.items(), strict=False):
                shares = {**values["clean"], **values[kind]}
                severities = [int(severity) for severity in shares]
                axes.plot(severities, [100 * share for share in shares.values()], color=colour, marker="o", label=name)
            axes.set(title=kind.replace("_", " "), ylim=(0, 100), xticks=severities)
            axes.grid(alpha=0.25)
        for axes in grid[-1]:
            axes.set_xlabel("severity")
        for axes in grid[:, 0]:
            axes.set_ylabel("top-1, %")
        grid[0, 0].legend(fontsize=8)

    return draw("robustness", 3.8, paint, alt=" ".join(_in_words(name, values) for name, values in top1.items()))


def _in_words(name: str, values: Mapping[str, Mapping[str, float]]) -> str:
    """Accuracy as it is and at the highest severity of each kind."""
    worst = {kind: list(shares.items())[-1] for kind, shares in values.items() if kind != "clean"}
    kinds = ", ".join(
        f"{kind.replace('_', ' ')} {100 * share:.0f} % at severity {severity}"
        for kind, (severity, share) in worst.items()
    )
    return f"{name}: {100 * values['clean']['0']:.0f} % on the images as they are; {kinds}."
