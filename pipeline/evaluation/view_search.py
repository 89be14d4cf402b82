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
        steps: for each round, candidate → NLL and top-1 of the teacher that has it too, its gain in NLL and that
            gain's standard error; JSON values.
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

    Weights are label-free: labels only say what an answer was worth. A view is taken if the NLL falls by `LEAST_GAIN`
    and by `LEAST_ERRORS` standard errors (over the same images, so that noise is not taken for a gain), and if the
    top-1 accuracy is not below that of rgb alone. So the fused teacher is never worse than its rgb view on the images
    of the search, in NLL and in accuracy; where nothing helps, rgb stays alone. Of each kind one view is taken.

    Args:
        answers: on validation images in rgb and all candidates.
        kinds: candidate → kind.
        rule_of: views, rgb first → how they are weighed.
    """
    names: tuple[str, ...] = ("rgb",)
    losses, plain = _label_free(answers, names, rule_of)
    steps: list[dict[str, dict[str, float]]] = []
    taken: list[str | None] = []
    while len(names) < MOST_VIEWS:
        used = {kinds[name] for name in names if name != "rgb"}
        step: dict[str, dict[str, float]] = {}
        found: dict[str, Tensor] = {}
        for candidate, kind in kinds.items():
            if kind in used:
                continue
            tried, top1 = _label_free(answers, (*names, candidate), rule_of)
            gains = losses - tried
            error = gains.std(unbiased=False).item() / math.sqrt(len(gains))
            gain = gains.mean().item()
            figures = {"nll": tried.mean().item(), "top1": top1, "gain": gain, "standard_error": error}
            step[candidate] = {key: round(value, 6) for key, value in figures.items()}
            if gain >= max(LEAST_GAIN, LEAST_ERRORS * error) and top1 >= plain:
                found[candidate] = tried
        best = min(found, key=lambda name: found[name].mean().item(), default=None)
        if step:
            steps.append(step)
            taken.append(best)
        if best is None:
            break
        names, losses = (*names, best), found[best]
    return Search(names, tuple(steps), tuple(taken))


def _label_free(
    answers: Answers, names: tuple[str, ...], rule_of: Callable[[tuple[str, ...]], WeightRule]
) -> tuple[Tensor, float]:
    """NLL of each image `[N]` float64, and top-1 accuracy, of the teacher on some views with label-free weights."""
    shown = answers.select(names)
    fused = fuse(rule_of(names).weigh_label_free(shown.embeddings, shown.logits), shown.logits)
    losses = functional.cross_entropy(fused.double(), shown.labels, reduction="none")
    return losses, (fused.argmax(dim=-1) == shown.labels).double().mean().item()
