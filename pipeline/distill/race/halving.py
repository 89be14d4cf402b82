"""Successive halving: short schedules for many candidates, longer ones for the best of them.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS 2016); the
factor between rungs is the η of Hyperband (Li et al., JMLR 2018). Each rung trains from the first epoch, with a
schedule that ends, since accuracy half-way down a longer schedule says little about accuracy at its end.

A validation split tells candidates apart no better than its size allows, and short schedules flatter plain training.
So what cannot be told from the best is ordered by what usually wins in the end. Where that is wrong, plain training
over the whole schedule is still there to be compared with.
"""

import math
from collections.abc import Mapping, Sequence

from pipeline.distill.race.candidates import PLAIN

Score = tuple[float, float]

FEWEST_EPOCHS = 2
"""Of a rung: after a single epoch the order of candidates is mostly chance."""
FEWEST_SURVIVORS = 2
"""Candidates besides plain training that go on, at least."""


def rung_epochs(epochs: int, rungs: int, reduction: int) -> tuple[int, ...]:
    """Epochs of each rung, strictly rising: `epochs / reduction^k` for k = rungs, …, 1, rounded.

    A rung has `FEWEST_EPOCHS` at least, and never more epochs than the whole schedule; where that makes several rungs
    equally long, they are one.

    Args:
        epochs: of the whole schedule, 1 or more.
        rungs: 1 or more.
        reduction: η, 2 or more.

    Example:
        >>> rung_epochs(240, 2, 3), rung_epochs(6, 2, 3)
        ((27, 80), (2,))
    """
    fewest = min(FEWEST_EPOCHS, epochs)
    lengths = (max(fewest, round(epochs / reduction**power)) for power in range(rungs, 0, -1))
    return tuple(dict.fromkeys(lengths))


def survivors(scores: Mapping[str, Score], reduction: int, images: int, preferred: Sequence[str]) -> tuple[str, ...]:
    """The candidates that go on to the next rung: one in `reduction`, `FEWEST_SURVIVORS` at least, and plain training.

    The best one goes on; then those that are as good within one standard error, by preference; then the next best.

    Args:
        scores: candidate → validation accuracy and what decides between equal ones, both better where they are higher.
        reduction: η.
        images: of the validation split, 1 or more.
        preferred: every candidate, the most promising first.

    Returns:
        Names in the order of `scores`.
    """
    others = {name: score for name, score in scores.items() if name != PLAIN}
    by_score = sorted(others, key=lambda name: others[name], reverse=True)
    equals = _as_good_as_the_best(others, images)
    order = dict.fromkeys([*by_score[:1], *(name for name in preferred if name in equals), *by_score])
    best = list(order)[: max(FEWEST_SURVIVORS, len(others) // reduction)]
    return tuple(name for name in scores if name == PLAIN or name in best)


def winner(scores: Mapping[str, Score], images: int, preferred: Sequence[str]) -> str:
    """Of the candidates that are as good as the best within one standard error, the most promising.

    Args:
        scores: of the last rung, as in `survivors`.
        images: as in `survivors`.
        preferred: as in `survivors`.
    """
    equals = _as_good_as_the_best(scores, images)
    return next(name for name in preferred if name in equals)


def _as_good_as_the_best(scores: Mapping[str, Score], images: int) -> set[str]:
    """Those whose accuracy is within one standard error of the highest (Breiman, Friedman, Olshen and Stone,
    "Classification and Regression Trees", 1984, section 3.4.3).

    The error is binomial, of (right + 1) / (images + 2), so that it is never 0.
    """
    best = max((accuracy for accuracy, _ in scores.values()), default=0.0)
    share = (best * images + 1) / (images + 2)
    error = math.sqrt(share * (1 - share) / images)
    return {name for name, (accuracy, _) in scores.items() if accuracy >= best - error}
