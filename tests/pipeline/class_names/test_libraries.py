import pytest

from pipeline.class_names.libraries import LIBRARY_SETS, flowers102, imagenet


def test_flowers_keep_the_data_sets_own_spelling() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    words = flowers102(["pink-yellow dahlia"])
    assert len(words) == 102 and list(words.values()) == [name.rstrip("?") for name in datasets.Flowers102.classes]
    assert words["pink-yellow dahlia"] == "pink-yellow dahlia"


def test_imagenet_codes_have_the_words_of_open_clip_or_of_wordnet() -> None:
    pytest.importorskip("open_clip")
    words = imagenet(["n01440764", "n00007846", "n99999999"])  # a class of the 1,000, another synset, and none
    assert words["n01440764"] == "tench" and words["n00007846"] == "person" and "n99999999" not in words
    assert len({words[code] for code in list(words)[:1000]}) == 1000


def test_every_set_has_a_function() -> None:
    assert set(LIBRARY_SETS) == {"flowers102", "imagenet"}
