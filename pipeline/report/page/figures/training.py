"""How training went: losses and validation accuracy by epoch, and where the time of an epoch went."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from pipeline.report.page.figures.drawing import PALETTE, Drawn, draw, plain_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = (
    "compile", "data", "views", "clip", "teacher", "cache", "forward", "backward", "optimizer", "evaluation",
    "checkpoint", "other",
)  # fmt: skip
_LEGEND_INSIDE = 5
"""Trainings that a legend may name inside the axes."""


def curves(trainings: Mapping[str, Sequence[Mapping[str, Any]]], main: str, chosen_epoch: int | None) -> Drawn:
    """Left: the parts of one training's loss, as weighted; right: the validation accuracy of all.

    Args:
        trainings: name → its epochs in order, as lines of `metrics.jsonl`.
        main: the training whose loss is shown.
        chosen_epoch: of that training, marked; from 1.
    """

    def paint(figure: "Figure") -> None:
        losses, accuracy = figure.subplots(1, 2)
        epochs = trainings[main]
        parts = [key for key in epochs[0] if key.startswith("loss_")]
        for colour, key in zip(("", *PALETTE), ["loss", *parts] if len(parts) > 1 else ["loss"], strict=False):
            label = "total" if key == "loss" else key.removeprefix("loss_")
            style = {"color": colour} if colour else {"color": PALETTE[8], "linestyle": "--"}
            known = [line for line in epochs if line.get(key) is not None]
            if len(known) == 1:
                style |= {"marker": "o"}  # a line of one point is none
            losses.plot([line["epoch"] for line in known], [line[key] for line in known], label=label, **style)
        losses.set(title=f"loss of the {main}", xlabel="epoch", ylabel="mean of the epoch")
        losses.set_ylim(bottom=0)
        losses.legend(fontsize=8)
        for number, (name, lines) in enumerate(trainings.items()):
            colour, line_style = PALETTE[number % len(PALETTE)], "-" if number < len(PALETTE) else "--"
            known = [line for line in lines if line.get("validation_top1") is not None]
            x, y = [line["epoch"] for line in known], [100 * line["validation_top1"] for line in known]
            accuracy.plot(x, y, label=name, color=colour, linestyle=line_style, marker="o", markersize=2.5)
            if name == main and chosen_epoch in x:
                accuracy.plot(
                    chosen_epoch, y[x.index(chosen_epoch)], "o", markersize=9, markerfacecolor="none", color=colour
                )
        accuracy.set(title="validation accuracy", xlabel="epoch", ylabel="top-1, %")
        if len(trainings) > _LEGEND_INSIDE:  # else it would cover the curves, as after a race
            accuracy.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            accuracy.legend(fontsize=8, loc="lower right")
        for axes in (losses, accuracy):
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            axes.grid(alpha=0.25)
            plain_text(axes)

    return draw("training-curves", 2.9, paint, alt=_in_words(trainings, main))


def _in_words(trainings: Mapping[str, Sequence[Mapping[str, Any]]], main: str) -> str:
    """First and last loss of one training, and the last validation accuracy of all."""
    losses = [line for line in trainings[main] if line.get("loss") is not None]
    words = []
    if losses:
        first, last = losses[0], losses[-1]
        words.append(
            f"Loss of the {main}: {first['loss']:.3g} in epoch {first['epoch']},"
            f" {last['loss']:.3g} in epoch {last['epoch']}."
        )
    ends = {
        name: known[-1]["validation_top1"]
        for name, lines in trainings.items()
        if (known := [line for line in lines if line.get("validation_top1") is not None])
    }
    if ends:
        shares = ", ".join(f"{name} {100 * top1:.1f} %" for name, top1 in ends.items())
        words.append(f"Validation accuracy after the last epoch: {shares}.")
    return " ".join(words)


def time_by_part(seconds: Mapping[str, Mapping[str, float]]) -> Drawn:
    """Seconds of each training, a bar each, by what they were spent on.

    Args:
        seconds: training → part → seconds.
    """

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        names = list(seconds)
        parts = [part for part in _PARTS if any(seconds[name].get(part, 0) > 0 for name in names)]
        left = [0.0] * len(names)
        for colour, part in zip(cycle(PALETTE), parts, strict=False):
            values = [seconds[name].get(part, 0.0) for name in names]
            axes.barh(range(len(names)), values, left=left, color=colour, label=part, height=0.62)
            left = [before + value for before, value in zip(left, values, strict=True)]
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("seconds")
        axes.legend(ncols=5, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
        plain_text(axes)

    alt = "; ".join(
        f"{name} {sum(parts.values()):.0f} s, most of it {max(parts, key=lambda part: parts[part])}"
        for name, parts in seconds.items()
        if parts
    )
    return draw("training-time", 1.2 + 0.3 * len(seconds), paint, alt=f"{alt}.")
