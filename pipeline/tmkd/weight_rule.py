"""From scores to weights: TMKD (arXiv 2603.24208), our reconstruction, line 6, with scores standardised before."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.tmkd.choice import ScoreStatistics
from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.weighting import ViewWeighting, label_free_labels, view_weights

_LEAST_SPREAD = 1e-6
"""Below it all images have one score in a view, as with the weighting `uniform`: there is nothing to divide by."""


def measure_scores(scores: Tensor, names: tuple[str, ...]) -> dict[str, ScoreStatistics]:
    """Mean and standard deviation of each view's score over images.

    Args:
        scores: `[N, V]`, N at least 1.
        names: of the V views.

    Returns:
        View → its statistics; a spread of next to nothing is 1.
    """
    values = scores.double()
    spreads = values.std(dim=0, unbiased=False)
    return {
        name: ScoreStatistics(mean=mean, spread=spread if spread > _LEAST_SPREAD else 1.0)
        for name, mean, spread in zip(names, values.mean(dim=0).tolist(), spreads.tolist(), strict=True)
    }


def standardise(scores: Tensor, statistics: tuple[ScoreStatistics, ...]) -> Tensor:
    """Scores less the mean of their view, divided by its spread: `[B, V]` → `[B, V]` fp32 (float64 for float64)."""
    with full_precision(scores):
        values = widen(scores)
        means = values.new_tensor([view.mean for view in statistics])
        spreads = values.new_tensor([view.spread for view in statistics])
        return (values - means) / spreads


@dataclass(frozen=True)
class WeightRule:
    """The weights of the views of a batch.

    Attributes:
        weighting: scores the views.
        temperature: τ_w, above 0; infinity gives 1/V each.
        statistics: of each view's scores, in the order of the views; None: scores are taken as they are.
    """

    weighting: ViewWeighting
    temperature: float
    statistics: tuple[ScoreStatistics, ...] | None = None

    def scores(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """Scores `[B, V]`, standardised where there are statistics; arguments as of `ViewWeighting`."""
        scores = self.weighting(embeddings, logits, labels)
        return scores if self.statistics is None else standardise(scores, self.statistics)

    @torch.no_grad()
    def weigh(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """View weights `[B, V]` under the given labels; arguments as of `ViewWeighting`."""
        return view_weights(self.scores(embeddings, logits, labels), self.temperature)

    def weigh_label_free(self, embeddings: Tensor | None, logits: Tensor) -> Tensor:
        """Weights `[B, V]` with the argmax of the views' mean logits in the place of the labels."""
        return self.weigh(embeddings, logits, label_free_labels(logits))


def in_order(
    statistics: Mapping[str, ScoreStatistics] | None, names: tuple[str, ...]
) -> tuple[ScoreStatistics, ...] | None:
    """The statistics of some views in their order; None where there are none."""
    return None if statistics is None else tuple(statistics[name] for name in names)
