"""Labels of two bundles, matched by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.diff.labels import LabelMatch, match_labels


def of(match: LabelMatch, which: str) -> list[str]:
    return [match.classes[place] for place in getattr(match, f"of_{which}")]


def test_same_labels_in_another_order_are_matched_by_name() -> None:
    match = match_labels(["cat", "dog", "owl"], ["owl", "cat", "dog"])
    assert match.classes == ("cat", "dog", "owl") and match.common.all()
    assert of(match, "old") == ["cat", "dog", "owl"] and of(match, "new") == ["owl", "cat", "dog"]
    assert not match.renamed and not match.removed and not match.added


def test_added_and_removed_labels_are_told() -> None:
    match = match_labels(["cat", "dog", "owl"], ["wren", "dog", "cat"])
    assert match.removed == ("owl",) and match.added == ("wren",)
    assert match.classes == ("cat", "dog", "owl", "wren") and match.common.tolist() == [True, True, False, False]
    assert of(match, "new") == ["wren", "dog", "cat"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("blue_bar", "blue bar"), ("Blue Bar", "blue bar"), ("017.blue_bar", "blue bar"), ("caf\u00e9", "cafe\u0301")],
)
def test_spellings_that_are_read_alike_are_one_class(old: str, new: str) -> None:
    match = match_labels([old, "wren"], ["wren", new])
    assert match.renamed == ((old, new),) and match.common.all() and new in match.classes


def test_labels_that_are_read_alike_in_one_bundle_are_not_guessed() -> None:
    match = match_labels(["blue_bar", "blue bar", "wren"], ["Blue Bar", "wren"])
    assert match.removed == ("blue_bar", "blue bar") and match.added == ("Blue Bar",)


def test_given_renames_come_first() -> None:
    match = match_labels(["cat", "dog"], ["house cat", "dog"], {"cat": "house cat"})
    assert match.renamed == (("cat", "house cat"),) and match.common.all() and match.classes == ("house cat", "dog")


def test_exchanged_names_can_be_given() -> None:
    match = match_labels(["a", "b"], ["a", "b"], {"a": "b"})
    assert match.renamed == (("a", "b"),)
    assert of(match, "old") == ["b", "b (old bundle)"] and of(match, "new") == ["a", "b"]
    assert match.removed == ("b (old bundle)",) and match.added == ("a",)


@pytest.mark.parametrize(
    ("renames", "said"),
    [
        ({"lynx": "dog"}, "'lynx' is no label of the old bundle"),
        ({"cat": "lynx"}, "'lynx' is no label of the new bundle"),
        ({"cat": "owl", "dog": "owl"}, "'owl' was given for two labels"),
    ],
)
def test_wrong_renames_are_refused(renames: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        match_labels(["cat", "dog"], ["owl", "dog"], renames)


def test_bundles_without_a_common_label_are_refused() -> None:
    with pytest.raises(UsageError, match="no label in common") as caught:
        match_labels(["cat", "dog"], ["oak", "ash"])
    assert "--rename" in str(caught.value)


def test_folders_may_have_either_name() -> None:
    names, places = match_labels(["cat", "dog"], ["house cat", "dog"], {"cat": "house cat"}).folders()
    assert dict(zip(names, places, strict=True)) == {"house cat": 0, "dog": 1, "cat": 0}
    names, _places = match_labels(["blue_bar", "dog"], ["blue bar", "dog"]).folders()
    assert names == ["blue bar", "dog"]


LABELS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=8, unique=True)


@given(LABELS, LABELS)
def test_exchanging_the_bundles_exchanges_added_and_removed(old: list[str], new: list[str]) -> None:
    if not set(old) & set(new):
        return
    there, back = match_labels(old, new), match_labels(new, old)
    assert sorted(there.added) == sorted(back.removed) and sorted(there.removed) == sorted(back.added)
    assert set(np.array(there.classes)[there.common]) == set(old) & set(new)
    assert of(there, "old") == old and of(there, "new") == new
