"""Prompts that say nothing: the control for line 5 of TMKD (arXiv 2603.24208), our reconstruction.

Whatever weights from these prompts are worth does not come from what prompts mean.
"""

from pipeline.randomness import generator

_WORDS, _SYLLABLES = 4, 4  # long enough that no word is one of a language by chance
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def random_prompt(seed: int, view: str, label: int) -> str:
    """A prompt of pseudo-words for a class in a view, such as `"zukobeta mivanolu gedorasi pakutefo"`.

    Args:
        seed: `data.split_seed`, as for all that belongs to the text teacher.
        view: the view's name; another view has other words.
        label: the class's number.
    """
    draws = generator(seed, f"random prompt of the view {view}", index=label)
    consonants = draws.integers(len(_CONSONANTS), size=(_WORDS, _SYLLABLES))
    vowels = draws.integers(len(_VOWELS), size=(_WORDS, _SYLLABLES))
    return " ".join(
        "".join(_CONSONANTS[c] + _VOWELS[v] for c, v in zip(*word, strict=True))
        for word in zip(consonants, vowels, strict=True)
    )
