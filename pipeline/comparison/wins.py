"""Which test images each arm has right where others have not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.comparison.analysis import ArmFigures


@dataclass(frozen=True, eq=False)
class Wins:
    """Images by the arms that have them right; an arm has an image right where its chosen student is right under more
    than half of its seeds.

    Attributes:
        names: of the A arms.
        share: float64 `[A, N]`, under which share of its seeds an arm is right.
        right: bool `[A, N]`.
    """

    names: tuple[str, ...]
    share: np.ndarray
    right: np.ndarray

    @property
    def alone_right(self) -> np.ndarray:
        """bool `[A, N]`: no other arm has the image right."""
        found: np.ndarray = self.right & (self.right.sum(axis=0) == 1)
        return found

    @property
    def alone_wrong(self) -> np.ndarray:
        """bool `[A, N]`: every other arm has the image right."""
        found: np.ndarray = ~self.right & (self.right.sum(axis=0) == len(self.names) - 1)
        return found

    @property
    def over(self) -> np.ndarray:
        """int64 `[A, A]`: how many images the arm of the row has right and that of the column has not."""
        right = self.right.astype(np.int64)
        found: np.ndarray = right @ (1 - right).T
        return found

    def examples(self, arm: int, labels: np.ndarray, most: int) -> list[int]:
        """Images that one arm alone has right, of as many classes as there are, the clearest first.

        Args:
            arm: its number.
            labels: of the test split, `[N]`.
            most: images.
        """
        rows = np.flatnonzero(self.alone_right[arm])
        others = np.delete(self.share, arm, axis=0)
        lead = self.share[arm, rows] - (others[:, rows].mean(axis=0) if len(others) else 0)
        rows = rows[np.argsort(-lead, kind="stable")]
        turns: dict[int, int] = {}
        order = []
        for row in rows.tolist():
            turn = turns.get(int(labels[row]), 0)
            turns[int(labels[row])] = turn + 1
            order.append((turn, row))
        return [row for _turn, row in sorted(order, key=lambda each: each[0])][:most]


def wins(figures: Sequence[ArmFigures]) -> Wins:
    """Who has which test images right.

    Args:
        figures: of `analyse`.
    """
    shares = [np.mean([result.correct["chosen"] for result in each.arm.seeds], axis=0) for each in figures]
    share = np.stack(shares)
    return Wins(tuple(each.arm.name for each in figures), share, share > 0.5)
