import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.data.copies import content_groups, number_of_duplicates

# Contents as numbers; equal numbers are equal images.
CONTENTS = st.lists(st.integers(0, 12), max_size=25)


def hashes(contents: list[int]) -> np.ndarray:
    """Hashes that differ in one byte of 32, whichever."""
    found = np.zeros((len(contents), 32), dtype=np.uint8)
    for row, content in enumerate(contents):
        found[row, (content * 7) % 32] = content + 1  # three of four have their first eight bytes in common
    return found


@hypothesis_settings(deadline=None, max_examples=100)
@given(CONTENTS)
def test_equal_contents_share_a_group(contents: list[int]) -> None:
    groups = content_groups(hashes(contents))
    assert groups.shape == (len(contents),)
    for i, one in enumerate(contents):
        for j, two in enumerate(contents):
            assert (groups[i] == groups[j]) == (one == two)
    assert number_of_duplicates(hashes(contents)) == len(contents) - len(set(contents))


@hypothesis_settings(deadline=None, max_examples=50)
@given(CONTENTS, CONTENTS)
def test_groups_of_parts_are_those_of_the_whole(one: list[int], two: list[int]) -> None:
    np.testing.assert_array_equal(content_groups(hashes(one), hashes(two)), content_groups(hashes(one + two)))
