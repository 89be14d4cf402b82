import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from pipeline.data.copies import content_groups
from pipeline.data.splits import stratified_choice, stratified_mask
from tests.pipeline.data.test_copies import hashes

LABELS = st.lists(st.integers(2, 30), min_size=1, max_size=8).flatmap(
    lambda counts: st.permutations([label for label, count in enumerate(counts) for _ in range(count)])
)


def names(labels: list[int]) -> list[str]:
    return [f"class {label}" for label in range(max(labels) + 1)]


@settings(deadline=None, max_examples=100)
@given(labels=LABELS, fraction=st.floats(0.001, 0.999), seed=st.integers(0, 2**32 - 1))
def test_every_class_is_on_both_sides_in_the_right_share(labels: list[int], fraction: float, seed: int):
    mask = stratified_mask(labels, names(labels), fraction, seed, "validation split")
    assert mask.shape == (len(labels),)
    for label in set(labels):
        count = labels.count(label)
        taken = int(mask[np.asarray(labels) == label].sum())
        assert 1 <= taken <= count - 1
        assert taken in (1, count - 1) or abs(taken - count * fraction) <= 0.5


@settings(deadline=None, max_examples=50)
@given(labels=LABELS, seed=st.integers(0, 2**32 - 1))
def test_same_seed_same_split_and_other_classes_do_not_matter(labels: list[int], seed: int):
    mask = stratified_mask(labels, names(labels), 0.3, seed, "validation split")
    np.testing.assert_array_equal(mask, stratified_mask(labels, names(labels), 0.3, seed, "validation split"))
    more = [*labels, *[max(labels) + 1] * 5]
    np.testing.assert_array_equal(
        mask, stratified_mask(more, names(more), 0.3, seed, "validation split")[: len(labels)]
    )


def test_seed_and_purpose_change_the_split():
    labels = [0] * 40 + [1] * 40
    masks = [
        stratified_mask(labels, ["a", "b"], 0.5, seed, purpose).tobytes()
        for seed, purpose in ((0, "validation split"), (1, "validation split"), (0, "test split"))
    ]
    assert len(set(masks)) == 3


def test_a_class_with_a_single_image_is_named():
    with pytest.raises(UnavailableError, match="class 'smew' has 1 training image: the validation split"):
        stratified_mask([0, 0, 1], ["teal", "smew"], 0.1, 0, "validation split")


@settings(deadline=None, max_examples=100)
@given(labels=LABELS, share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_a_choice_has_exactly_as_many_images_by_the_shares_of_the_classes(labels: list[int], share: float, seed: int):
    sizes = np.bincount(labels)
    count = len(sizes) + round(share * (len(labels) - len(sizes)))
    chosen = stratified_choice(np.array(labels), names(labels), count, seed, "training images")
    taken = np.bincount(np.array(labels)[chosen], minlength=len(sizes))
    assert taken.sum() == count and (taken >= 1).all() and (taken <= sizes).all()
    expected = 1 + (sizes - 1) * (count - len(sizes)) / max((sizes - 1).sum(), 1)
    assert (np.abs(taken - expected) < 1 + 1e-9).all()


def test_a_smaller_choice_is_a_part_of_a_larger_one():
    labels = np.repeat([0, 1, 2], 40)
    small, large = (stratified_choice(labels, ["a", "b", "c"], count, 5, "training images") for count in (30, 60))
    assert (small & large).sum() == 30


@pytest.mark.parametrize("count", [1, 7])
def test_impossible_choice_is_refused(count: int):
    with pytest.raises(UnavailableError, match=rf"data.train_images: {count} images of 6 in 2 classes"):
        stratified_choice(np.array([0, 0, 0, 1, 1, 1]), ["a", "b"], count, 0, "training images")


LABELLED = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=2, max_size=60)


@hypothesis_settings(deadline=None, max_examples=200)
@given(images=LABELLED, fraction=st.floats(0.01, 0.9), seed=st.integers(0, 2**32 - 1))
def test_copies_stay_on_one_side(images: list[tuple[int, int]], fraction: float, seed: int) -> None:
    labels = np.array([label for label, _ in images])
    groups = content_groups(hashes([content for _, content in images]))
    present, labels = np.unique(labels, return_inverse=True)
    names = [f"class {label}" for label in present]
    try:
        mask = stratified_mask(labels, names, fraction, seed, "validation split", groups)
    except UnavailableError as error:
        assert "the validation split needs one and training another" in error.message
        return
    for group in np.unique(groups):
        assert len(set(mask[groups == group].tolist())) == 1
    for label in range(len(names)):
        assert 1 <= mask[labels == label].sum() < (labels == label).sum()


@hypothesis_settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(2, 20), min_size=1, max_size=5), st.floats(0.01, 0.9), st.integers(0, 2**32 - 1))
def test_split_without_copies_ignores_groups(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [str(label) for label in range(len(counts))]
    plain = stratified_mask(labels, names, fraction, seed, "validation split")
    groups = np.random.default_rng(0).permutation(len(labels))
    np.testing.assert_array_equal(plain, stratified_mask(labels, names, fraction, seed, "validation split", groups))


def test_class_of_copies_alone_is_refused() -> None:
    with pytest.raises(UnavailableError, match="class 'teal' has copies of too few different images"):
        stratified_mask([0, 0, 0, 1, 1], ["teal", "smew"], 0.2, 0, "validation split", np.array([0, 0, 0, 1, 2]))
    # A large group goes to validation only where nothing else can.
    mask = stratified_mask([0] * 9, ["teal"], 0.2, 0, "validation split", np.array([0] * 8 + [1]))
    assert mask.tolist() == [False] * 8 + [True]
