"""`distill.views: auto`: which views make the fused teacher better on validation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional

from pipeline.evaluation.answers import Answers
from pipeline.tmkd.fusion import fuse
from pipeline.tmkd.weight_rule import WeightRule

MOST_VIEWS = 4
"""Views of a teacher, rgb included: the teacher's share of a training step grows with each."""

LEAST_GAIN = 0.002
"""NLL in nats by which another view has to lower that of the fused teacher."""

LEAST_ERRORS = 2.0
"""The same, in standard errors of the mean over images of the difference."""


@dataclass(frozen=True)
class Search:
    """How views were chosen.

    Attributes:
        names: the chosen views, rgb first.
        steps: for each round, candidate → NLL and top-1 of the teacher that has it too, with uniform weights, its
            gain in NLL and that gain's standard error; JSON values.
        taken: the view that each round took; None for the last one, where it took none.
    """

    names: tuple[str, ...]
    steps: tuple[dict[str, dict[str, float]], ...]
    taken: tuple[str | None, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """The rounds as JSON values."""
        return [{"taken": taken, "candidates": step} for step, taken in zip(self.steps, self.taken, strict=True)]


def search_views(
    answers: Answers, kinds: Mapping[str, str], rule_of: Callable[[tuple[str, ...]], WeightRule]
) -> Search:
    """Add views to rgb one by one, each time the one that lowers the fused teacher's NLL most.

    The NLL is that of uniform weights: what a view says beside the others. Weights that know no label follow the views'
    common guess instead, and confirm it; they would judge that, and not the view. A view is taken if the NLL falls by
    `LEAST_GAIN` and by `LEAST_ERRORS` standard errors (over the same images, so that noise is not taken for a gain),
    and if the top-1 accuracy is not below that of rgb alone, with uniform weights and with label-free ones. So, on the
    images of the search, the fused teacher is never worse than its rgb view; where nothing helps, rgb stays alone. Of
    each kind one view is taken.

    Args:
        answers: on validation images in rgb and all candidates.
        kinds: candidate → kind.
        rule_of: views, rgb first → how they are weighed.
    """
    names: tuple[str, ...] = ("rgb",)
    losses, plain = _uniform(answers.select(names))
    steps: list[dict[str, dict[str, float]]] = []
    taken: list[str | None] = []
    while len(names) < MOST_VIEWS:
        used = {kinds[name] for name in names if name != "rgb"}
        step: dict[str, dict[str, float]] = {}
        found: dict[str, Tensor] = {}
        for candidate, kind in kinds.items():
            if kind in used:
                continue
            shown = answers.select((*names, candidate))
            tried, top1 = _uniform(shown)
            gains = losses - tried
            error = gains.std(unbiased=False).item() / math.sqrt(len(gains))
            gain = gains.mean().item()
            figures = {"nll": tried.mean().item(), "top1": top1, "gain": gain, "standard_error": error}
            step[candidate] = {key: round(value, 6) for key, value in figures.items()}
            gained = gain >= max(LEAST_GAIN, LEAST_ERRORS * error)
            if gained and min(top1, _label_free(shown, rule_of(shown.names))) >= plain:
                found[candidate] = tried
        best = min(found, key=lambda name: found[name].mean().item(), default=None)
        if step:
            steps.append(step)
            taken.append(best)
        if best is None:
            break
        names, losses = (*names, best), found[best]
    return Search(names, tuple(steps), tuple(taken))


def _uniform(answers: Answers) -> tuple[Tensor, float]:
    """NLL of each image `[N]` float64, and top-1 accuracy, of the mean logits of all views."""
    fused = answers.logits.double().mean(dim=0)
    losses = functional.cross_entropy(fused, answers.labels, reduction="none")
    return losses, _top1(fused, answers.labels)


def _label_free(answers: Answers, rule: WeightRule) -> float:
    """Top-1 accuracy of all views with label-free weights."""
    weights = rule.weigh_label_free(answers.embeddings, answers.logits)
    return _top1(fuse(weights, answers.logits), answers.labels)


def _top1(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(dim=-1) == labels).double().mean().item()
