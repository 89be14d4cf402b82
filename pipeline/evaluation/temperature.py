"""`distill.weighting.temperature: auto`: how sharp the weights of the views are, from validation images."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.evaluation.answers import Answers
from pipeline.tmkd.choice import ScoreStatistics
from pipeline.tmkd.fusion import fuse
from pipeline.tmkd.weight_rule import WeightRule
from pipeline.tmkd.weighting import ViewWeighting, view_weights

TEMPERATURES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""What τ_w may be; the first is the floor."""

KEPT = 0.9
"""Share of the gain over uniform weights that a gentler temperature has to keep."""


def fit_temperature(
    answers: Answers, weighting: ViewWeighting, statistics: tuple[ScoreStatistics, ...] | None
) -> float:
    """The largest τ_w of `TEMPERATURES` that keeps nine tenths of what guided weights can gain.

    Weights guide the student on training images, where the label chooses the view. What they are worth there is the
    NLL of the guided teacher, here on images that the teacher was not fitted on. It falls without end as τ_w falls,
    since the label that guides is the label that is asked for; the smallest NLL is therefore no criterion, and a
    label-free one says nothing about guided weights. So the sharpest weights of the grid set what can be gained over
    uniform ones, and the gentlest that keep most of it are taken: beyond them, weights follow the label rather than
    the image. Where guiding gains nothing, weights become uniform (the last of the grid).

    Args:
        answers: on validation images, in the views to be weighed.
        weighting: scores them.
        statistics: of their scores, where they are standardised.
    """
    rule = WeightRule(weighting, 1.0, statistics)
    scores = rule.scores(answers.embeddings, answers.logits, answers.labels)

    def nll(weights: Tensor) -> float:
        return functional.cross_entropy(fuse(weights, answers.logits), answers.labels).item()

    losses = {temperature: nll(view_weights(scores, temperature)) for temperature in TEMPERATURES}
    uniform = nll(torch.full_like(scores, 1 / scores.shape[1]))
    best = min(losses.values())
    if best >= uniform:
        return TEMPERATURES[-1]
    return max(t for t, loss in losses.items() if loss <= uniform - KEPT * (uniform - best))
