"""How networks place the classes: their features in a plane, and their logits class by class."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.progress import counted
from pipeline.evaluation.separation import separation, unit_length
from pipeline.report.page.figures.drawing import (
    PALETTE,
    Drawn,
    draw,
    panels,
    plain_text,
    rows_of_panels,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "os^Dv<>PX*"


def scatter(features: Mapping[str, np.ndarray], labels: np.ndarray, classes: Mapping[int, str]) -> Drawn:
    """Features in the plane by t-SNE, a panel for each network, classes by colour and shape.

    Args:
        features: network → `[M, C]`.
        labels: `[M]`.
        classes: label → name, of the classes that are drawn.
    """
    rows = np.isin(labels, list(classes))
    own = labels[rows]
    placed = {
        name: in_plane(values[rows])
        for name, values in counted(features.items(), "t-SNE of each network's features", len(features))
    }

    def paint(figure: "Figure") -> None:
        grid = panels(figure, len(features))
        for axes, (name, places) in zip(grid, placed.items(), strict=True):
            for colour, marker, (label, title) in zip(PALETTE, _MARKERS, classes.items(), strict=False):
                some = places[own == label]
                axes.scatter(
                    some[:, 0], some[:, 1], s=9, color=colour, marker=marker, linewidths=0, alpha=0.85,
                    label=shortened(title, 30),
                )  # fmt: skip
            axes.set(title=name, xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="datalim")
            plain_text(axes)
        handles, names = grid[0].get_legend_handles_labels()
        legend = figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=7, markerscale=1.6)
        for text in legend.get_texts():
            text.set_parse_math(False)

    height = 2.9 * rows_of_panels(len(features)) + 0.16 * -(-len(classes) // 3)
    known = {name: found for name, values in features.items() if (found := separation(values[rows], own)) is not None}
    silhouettes = ", ".join(f"{name} {found.silhouette:.2f}" for name, found in known.items())
    alt = f"Features of {len(own)} images of {len(classes)} classes." + (
        f" Silhouette: {silhouettes}." if known else ""
    )
    return draw("features", height, paint, alt=alt)


def in_plane(features: np.ndarray) -> np.ndarray:
    """Features `[M, C]`, scaled to unit length, in the plane: `[M, 2]` by t-SNE (van der Maaten and Hinton 2008).

    scikit-learn's, from the principal components and with a fixed seed, so that the same features give the same places.
    """
    from sklearn.manifold import TSNE

    unit = unit_length(features)
    if len(unit) < 4:
        return np.pad(unit[:, :2], ((0, 0), (0, max(0, 2 - unit.shape[1]))))
    start = "pca" if min(unit.shape) >= 2 else "random"
    perplexity = min(30.0, (len(unit) - 1) / 3)
    placed: np.ndarray = TSNE(2, perplexity=perplexity, init=start, random_state=0).fit_transform(unit)
    return placed


def logit_maps(logits: Mapping[str, np.ndarray], labels: np.ndarray, classes: Mapping[int, str]) -> Drawn:
    """Mean logits of the images of each class (row) for each class (column), a panel for each network.

    Args:
        logits: network → `[M, K]`.
        labels: `[M]`.
        classes: label → name, of the classes that are drawn.
    """
    present = [label for label in classes if (labels == label).any()]
    means = {name: mean_logits(values, labels, present) for name, values in logits.items()}

    def paint(figure: "Figure") -> None:
        grid = panels(figure, len(logits))
        for axes, (name, mean) in zip(grid, means.items(), strict=True):
            bound = float(np.abs(mean).max()) or 1.0
            image = axes.imshow(mean, cmap="RdBu_r", vmin=-bound, vmax=bound)
            axes.set(title=name, xticks=[], yticks=[])
            axes.set_yticks(range(len(present)), [shortened(classes[label], 22) for label in present], fontsize=7)
            figure.colorbar(image, ax=axes, shrink=0.85)
            plain_text(axes)

    off = ~np.eye(len(present), dtype=bool)
    alt = "; ".join(
        f"{name}: mean logit {mean.diagonal().mean():.2f} of the true class"
        + (f", {mean[off].mean():.2f} of the other classes shown" if off.any() else "")
        for name, mean in means.items()
    )
    return draw("mean-logits", 2.5 * rows_of_panels(len(logits)) + 0.2, paint, alt=f"{alt}.")


def mean_logits(logits: np.ndarray, labels: np.ndarray, classes: list[int]) -> np.ndarray:
    """`[k, k]`: mean over the images of each of some classes of their logits for these classes, less the image's mean
    logit over all classes, which no probability follows from."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    return np.stack([centred[labels == label][:, classes].mean(axis=0) for label in classes])


def logit_distribution(logits: Mapping[str, np.ndarray], labels: np.ndarray) -> Drawn:
    """Logits of the true class and of the best other class, less the image's mean logit: a histogram a network."""
    pairs = {name: true_and_best_other(values, labels) for name, values in logits.items()}

    def paint(figure: "Figure") -> None:
        grid = panels(figure, len(logits), sharex=True)
        for axes, (name, (own, best)) in zip(grid, pairs.items(), strict=True):
            bins = np.linspace(min(own.min(), best.min()), max(own.max(), best.max()), 31).tolist()
            for colour, label, each in ((PALETTE[0], "true class", own), (PALETTE[1], "best other", best)):
                axes.hist(each, bins=bins, color=colour, alpha=0.55, label=label)
            axes.set_title(f"{name}: right {100 * float((own > best).mean()):.0f} %")
            axes.set_xlabel("logit")
            plain_text(axes)
            axes.set_ylabel("images")
        grid[0].legend(fontsize=8)

    alt = "; ".join(
        f"{name}: median {np.median(own):.2f} of the true class, {np.median(best):.2f} of the best other"
        for name, (own, best) in pairs.items()
    )
    return draw("logit-distribution", 2.2 * rows_of_panels(len(logits)) + 0.2, paint, alt=f"{alt}.")


def true_and_best_other(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the true class, and the largest of all others, each `[M]`, less the image's mean logit."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    own = centred[rows, labels]
    others = centred.copy()
    others[rows, labels] = -np.inf
    return own, others.max(axis=1)
