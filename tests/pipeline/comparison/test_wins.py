"""Who has which images right, against counting one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.comparison.analysis import analyse
from pipeline.comparison.results import ArmResult, Comparison
from pipeline.comparison.wins import Wins, wins
from tests.pipeline.comparison.examples import seed_result


def of(*arms: list[list[int]]) -> Wins:
    """From what the seeds of each arm have right."""
    results = []
    for number, seeds in enumerate(arms):
        rows = [np.array(row, dtype=bool) for row in seeds]
        found = tuple(seed_result(row, row, seed) for seed, row in enumerate(rows))
        results.append(ArmResult(f"arm {number}", "kd", None, {}, None, found))
    return wins(analyse(Comparison("r", "0", "c", "d", {}, tuple(results))))


def test_image_is_an_arm_s_where_most_of_its_seeds_have_it() -> None:
    found = of([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], [[0, 1, 1, 0]])
    assert found.right.tolist() == [[True, True, False, False], [False, True, True, False]]
    assert of([[1, 0], [0, 0]], [[1, 1]]).right[0].tolist() == [False, False]  # half is not more than half


TABLES = st.integers(2, 5).flatmap(
    lambda arms: st.lists(st.lists(st.integers(0, 1), min_size=arms, max_size=arms), min_size=1, max_size=12)
)


@given(TABLES)
def test_counts_are_those_of_counting_one_by_one(images: list[list[int]]) -> None:
    arms = [[[image[arm] for image in images]] for arm in range(len(images[0]))]
    found = of(*arms)
    for arm in range(len(arms)):
        assert found.alone_right[arm].sum() == sum(image[arm] == 1 and sum(image) == 1 for image in images)
        assert found.alone_wrong[arm].sum() == sum(image[arm] == 0 and sum(image) == len(arms) - 1 for image in images)
        for other in range(len(arms)):
            assert found.over[arm, other] == sum(image[arm] > image[other] for image in images)


def test_examples_are_of_many_classes_and_the_clearest_first() -> None:
    # The arm has all six right under each of three seeds; the other has image 0 under one seed of three.
    found = of([[1] * 6] * 3, [[1, 0, 0, 0, 0, 0], [0] * 6, [0] * 6])
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert found.examples(0, labels, 4) == [1, 3, 5, 2]
    assert found.examples(0, labels, 99) == [1, 3, 5, 2, 4, 0]
    assert found.examples(1, labels, 4) == []
