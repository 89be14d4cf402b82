import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from exporters.images.splits import find_splits, split_of, with_test


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train TRAIN Training training_set trainset train-data TrainImages trn 1_train train2017 .train", "train"),
        ("test Testing TEST_SET testset test-images tst holdout held-out 02.test", "test"),
        ("val valid Validation validation_set VAL dev devel development eval Evaluation-Set val2017", "validation"),
    ],
)
def test_plain_split_names_are_recognised(names: str, split: str) -> None:
    assert [split_of(name) for name in names.split()] == [(split, "")] * len(names.split())


@pytest.mark.parametrize(
    "name", ["trainer", "validity", "contest", "developer", "tests", "cat", "", "train1", "x" * 999]
)
def test_other_names_are_not_splits(name: str) -> None:
    assert split_of(name) is None


@given(st.text(max_size=30), st.sampled_from(["train", "Test", "VAL"]))
def test_any_name_maps_to_a_split_or_none(text: str, word: str) -> None:
    for name in (text, f"{text}_{word}", f"{word} {text}"):
        found = split_of(name)
        assert found is None or found[0] in ("train", "validation", "test")


def test_plain_split_names_take_precedence_over_prefixed_ones() -> None:
    assert find_splits(["Train", "test", "seg_train", "seg_test", "x"], "here") == {"train": "Train", "test": "test"}
    assert find_splits(["seg_train", "seg_test", "seg_pred"], "here") == {"train": "seg_train", "test": "seg_test"}
    assert find_splits(["bullet_train", "crash_test", "cat"], "here") == {}
    assert with_test(find_splits(["train", "dev"], "here")) == {"train": "train", "test": "dev"}
    assert with_test(find_splits(["train", "dev", "test"], "here"))["validation"] == "dev"


@pytest.mark.parametrize(
    "names",
    [("train", "Training"), ("val", "train", "dev"), ("test", "TEST"), ("a_train", "a_test", "b_train", "b_val")],
)
def test_two_folders_for_one_split_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(UnavailableError, match=r"^here: has .*/ and .*/, and each could be the") as caught:
        find_splits(names, "here")
    assert caught.value.remedy
