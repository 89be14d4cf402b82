"""Successive halving: short schedules for many candidates, longer ones for the best of them.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS 2016); the
factor between rungs is the η of Hyperband (Li et al., JMLR 2018). Each rung trains from the first epoch, with a
schedule that ends, since accuracy half-way down a longer schedule says little about accuracy at its end.
"""

from collections.abc import Mapping

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


def survivors(scores: Mapping[str, Score], reduction: int) -> tuple[str, ...]:
    """The candidates that go on to the next rung: one in `reduction`, `FEWEST_SURVIVORS` at least, and plain training.

    Args:
        scores: candidate → validation accuracy and what decides between equal ones, both better where they are higher;
            plain candidates before elaborate ones, since of equals in both the first is better.
        reduction: η.

    Returns:
        Names in the order of `scores`.
    """
    others = [name for name in scores if name != PLAIN]
    count = max(FEWEST_SURVIVORS, len(others) // reduction)
    best = sorted(others, key=lambda name: scores[name], reverse=True)[:count]  # stable: the first stays first
    return tuple(name for name in scores if name == PLAIN or name in best)


def winner(scores: Mapping[str, Score]) -> str:
    """The candidate with the highest score; of equals the first.

    Args:
        scores: of the last rung, as in `survivors`.
    """
    return max(scores, key=lambda name: scores[name])
