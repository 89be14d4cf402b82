import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from pipeline.class_names import wordnet
from pipeline.class_names.wordnet import CODE, distinct_words, plain, split_synonyms, synonyms


def thousand() -> list[str]:
    return pytest.importorskip("timm.data").ImageNetInfo().label_names()


def test_every_class_of_imagenet_has_words_of_its_own() -> None:
    codes = thousand()
    names = distinct_words({code: synonyms()[code] for code in codes})
    assert list(names) == codes and len({plain(name) for name in names.values()}) == 1000
    assert not any(CODE.search(name) for name in names.values())
    assert (names["n01440764"], names["n01484850"]) == ("tench", "great white shark")
    # The four pairs whose first word is one and the same.
    assert (names["n02012849"], names["n03126707"]) == ("crane bird", "construction crane")
    assert (names["n02113186"], names["n02963159"]) == ("Cardigan Welsh corgi", "cardigan")
    assert (names["n03710637"], names["n03710721"]) == ("maillot", "tank suit")


def test_words_of_a_class_do_not_depend_on_other_classes() -> None:
    codes = thousand()
    together = distinct_words({code: synonyms()[code] for code in codes})
    assert together == {code: distinct_words({code: synonyms()[code]})[code] for code in codes}


@pytest.mark.parametrize(
    ("found", "names"),
    [
        ({"n1": ("a", "b"), "n2": ("a",)}, ["b", "a"]),
        ({"n1": ("A-x",), "n2": ("a x", "a_X", "c")}, ["A-x", "c"]),
        ({"n1": ("a",), "n2": ("a",)}, ["a (n1)", "a (n2)"]),
        ({"n1": ("a", "b"), "n2": ("a",), "n3": ("b",)}, ["a (n1)", "a (n2)", "b"]),
        ({"n1": ("a", "b"), "n2": ("a", "b"), "n3": ("a", "b")}, ["b", "a (n2)", "a (n3)"]),
    ],
)
def test_ambiguous_names_are_made_distinct(found: dict[str, tuple[str, ...]], names: list[str]) -> None:
    assert list(distinct_words(found).values()) == names


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.sampled_from(["a", "A", "b", "c-d", "c d", "e"]), min_size=1, max_size=3), max_size=8))
def test_no_two_names_are_the_same(words: list[list[str]]) -> None:
    found = {f"n{i:08}": texts for i, texts in enumerate(words)}
    names = distinct_words(found)
    assert list(names) == list(found)
    assert len({plain(name) for name in names.values()}) == len(names)


def test_synonyms_are_separated_by_commas() -> None:
    assert split_synonyms(" goldfish, Carassius auratus ,, ") == ("goldfish", "Carassius auratus")


def test_timm_is_not_imported() -> None:
    code = (
        "import sys, pipeline.class_names.wordnet as w; w.synonyms(); "
        "sys.exit(bool({'timm', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_timm_gives_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "find_spec", lambda name: None)
    synonyms.cache_clear()
    with pytest.raises(UnavailableError, match="come with timm") as caught:
        synonyms()
    assert "pip install" in str(caught.value)
