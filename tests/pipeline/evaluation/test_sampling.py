import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.parity.intervals import wilson_interval
from pipeline.evaluation.sampling import images_needed, spread_evenly


def half_width(share: float, images: int) -> float:
    low, high = wilson_interval(round(share * images), images)
    return (high - low) / 2


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.83, 0.97])
def test_so_many_images_give_a_point_to_either_side_and_fewer_do_not(share: float) -> None:
    needed = images_needed(round(share * 10**7), 10**7)  # a sample that leaves nothing open
    assert half_width(share, needed) <= 0.01001
    assert half_width(share, round(0.95 * needed)) > 0.01


def test_where_a_sample_leaves_the_accuracy_open_the_worst_one_counts() -> None:
    assert images_needed(1, 2) == 9600 == images_needed(5 * 10**6, 10**7)
    assert images_needed(95, 100) > images_needed(9500, 10000) > images_needed(95 * 10**5, 10**7)


@given(images=st.integers(1, 300), wanted=st.integers(0, 400), taken=st.integers(0, 300))
def test_samples_are_disjoint_and_evenly_spread(images: int, wanted: int, taken: int) -> None:
    first = spread_evenly(images, taken)
    rest = spread_evenly(images, wanted, without=first)
    assert len(first) == min(images, taken) and len(rest) == min(images - len(first), wanted)
    together = np.concatenate([first, rest])
    assert len(set(together.tolist())) == len(together) and (np.diff(rest) > 0).all()
    assert ((together >= 0) & (together < images)).all()
    if first.size:
        assert np.diff(np.append(first, images)).max() <= -(-images // len(first))
