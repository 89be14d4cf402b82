"""Class names that installed libraries bring along. Each is imported only when it is used."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.class_names.wordnet import distinct_words, plain, synonyms

_SYNSET = re.compile(r"n\d{8}")


def imagenet(classes: Sequence[str]) -> dict[str, str]:
    """Words by WordNet's code: open_clip's names for the 1,000 classes in their order, WordNet's own for other classes.

    Two of open_clip's names stand for two classes each; these four have WordNet's. A code that it has not is left out.
    Classes may also be called by the words that the readers of ImageNet and Tiny ImageNet give them.
    """
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    wordnet = ImageNetInfo()
    counts = Counter(IMAGENET_CLASSNAMES)
    words = {
        code: name if counts[name] == 1 else _lemmas(wordnet.label_name_to_description(code))[0]
        for code, name in zip(wordnet.label_names(), IMAGENET_CLASSNAMES, strict=True)
    }
    for code in dict.fromkeys(classes):
        if _SYNSET.fullmatch(code) and code not in words:
            try:
                lemmas = _lemmas(wordnet.label_name_to_description(code))
            except KeyError:
                continue
            taken = {words[other] for other in classes if other in words}
            words[code] = next((lemma for lemma in lemmas if lemma not in taken), lemmas[0])
    return words | _by_words(classes, words)


def _by_words(classes: Sequence[str], words: dict[str, str]) -> dict[str, str]:
    """Words by the names that `pipeline.class_names.wordnet` gives: open_clip's for the 1,000, else the name itself."""
    others = {plain(name) for name in classes if not _SYNSET.fullmatch(name) and not name.isdecimal()}
    if not others:
        return {}
    found = synonyms()
    thousand = {plain(name): words[code] for code, name in distinct_words({c: found[c] for c in words}).items()}
    known = {plain(lemma) for lemmas in found.values() for lemma in lemmas}
    return {
        name: thousand.get(plain(name), name)
        for name in dict.fromkeys(classes)
        if plain(name) in others and (plain(name) in thousand or plain(name) in known)
    }


def flowers102(classes: Sequence[str]) -> dict[str, str]:
    """The 102 flowers in the order of their class numbers, as torchvision has them."""
    from torchvision.datasets import Flowers102

    # torchvision is not sure of one ("pink-yellow dahlia?"); the reader of the data set leaves the mark out.
    return {name if name in classes else name.rstrip("?"): name.rstrip("?") for name in Flowers102.classes}


LIBRARY_SETS: dict[str, Callable[[Sequence[str]], dict[str, str]]] = {"flowers102": flowers102, "imagenet": imagenet}
"""Set → a function from the data set's own names to an ordered mapping of label to words."""


def _lemmas(description: str) -> list[str]:
    return [lemma.strip() for lemma in description.split(",")]
