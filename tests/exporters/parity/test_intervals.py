import numpy as np
import pytest

from exporters.parity.intervals import paired_interval, wilson_interval


@pytest.mark.parametrize("cells", [(90, 6, 1, 3), (0, 0, 0, 5), (2990, 0, 0, 10), (1, 400, 3, 2)])
def test_paired_interval_is_that_of_agresti_and_min(cells: tuple[int, int, int, int]) -> None:
    """Agresti and Min (2005): the Wald interval of a table with half an image more in each cell."""
    both, lost, won, neither = (cell + 0.5 for cell in cells)
    total = both + lost + won + neither
    first, second = lost / total, won / total
    half = 1.959964 * np.sqrt((first + second - (first - second) ** 2) / total)
    expected = (max(-1, first - second - half), min(1, first - second + half))
    assert paired_interval(cells[1], cells[2], sum(cells)) == pytest.approx(expected)


def test_paired_interval_covers_the_true_difference() -> None:
    random = np.random.default_rng(5)
    shares = np.array([0.8, 0.07, 0.03, 0.1])
    tables = random.multinomial(200, shares, size=2000)
    intervals = [paired_interval(int(table[1]), int(table[2]), 200) for table in tables]
    covered = np.mean([low <= 0.04 <= high for low, high in intervals])
    assert 0.935 <= covered <= 0.975


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (7, 10), (630, 1000)])
def test_wilson_interval_solves_its_equation(correct: int, total: int) -> None:
    """Its ends are the p with |correct / total - p| = z * sqrt(p * (1 - p) / total)."""
    share = correct / total
    ends = wilson_interval(correct, total)
    assert 0 <= ends[0] <= share <= ends[1] <= 1
    for p in ends:
        assert abs(share - p) == pytest.approx(1.959964 * np.sqrt(p * (1 - p) / total), abs=1e-9)


def test_wilson_interval_of_no_images_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_intervals_end_at_the_ends_exactly() -> None:
    assert paired_interval(0, 5, 5)[0] == -1.0 and paired_interval(5, 0, 5)[1] == 1.0
    for total in range(1, 200):
        assert wilson_interval(0, total)[0] == 0.0 and wilson_interval(total, total)[1] == 1.0
        assert wilson_interval(1, total)[0] > 0.0
