"""Prompts that say nothing."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.randomness import generator
from pipeline.tmkd.random_prompts import random_prompt


@given(seed=st.integers(0, 2**32 - 1), view=st.sampled_from(["rgb", "edge", "own"]), label=st.integers(0, 10**6))
@settings(deadline=None, max_examples=50)
def test_four_pseudo_words_that_follow_from_seed_view_and_class(seed: int, view: str, label: int) -> None:
    prompt = random_prompt(seed, view, label)
    assert re.fullmatch(r"[a-z]{8}( [a-z]{8}){3}", prompt)
    assert random_prompt(seed, view, label) == prompt
    others = {random_prompt(seed + 1, view, label), random_prompt(seed, f"{view}_", label)}
    others.add(random_prompt(seed, view, label + 1))
    assert len(others | {prompt}) == 4


def test_prompts_stay_the_same_from_version_to_version() -> None:
    draws = generator(7, "random prompt of the view edge", index=3)
    consonants, vowels = draws.integers(14, size=(4, 4)), draws.integers(5, size=(4, 4))
    pairs = np.char.add(np.array(list("bdfgklmnprstvz"))[consonants], np.array(list("aeiou"))[vowels])
    assert random_prompt(7, "edge", 3) == " ".join("".join(word) for word in pairs)


def test_no_two_of_a_large_data_set_are_the_same() -> None:
    prompts = [random_prompt(0, view, label) for view in ("rgb", "edge", "high_frequency") for label in range(1000)]
    assert len(set(prompts)) == 3000
    words = {word for prompt in prompts for word in prompt.split()}
    assert len(words) > 11900  # of 12,000 draws: no word stands for anything
