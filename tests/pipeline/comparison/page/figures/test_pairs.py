import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pipeline.comparison.page.figures.pairs import wins_by_pair
from pipeline.comparison.wins import Wins
from tests.pipeline.report.page.figures.reading import texts


@pytest.mark.parametrize("arms", [2, 12])
def test_counts_stand_in_their_cells(arms: int) -> None:
    right = np.random.default_rng(0).random((arms, 2000)) < 0.6
    found = texts(wins_by_pair(Wins(tuple(f"arm {n}" for n in range(arms)), right.astype(float), right)))
    pairs = [(row, column) for row in range(arms) for column in range(arms) if row != column]
    expected = [f"{(right[row] & ~right[column]).sum():,}" for row, column in pairs]
    assert expected in [found[place : place + len(expected)] for place in range(len(found))]
    assert {f"arm {n}" for n in range(arms)} <= set(found)
