import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from pipeline.data.birds_demo.difficulty import DIFFICULTY
from pipeline.data.birds_demo.drawing import Painter
from pipeline.data.birds_demo.scenery import backdrop, clutter, occluders, perch
from pipeline.randomness import generator

SIDE = 64


def painted(draw: Callable[[Painter, np.random.Generator], None], seed: int = 0) -> np.ndarray:
    """Which pixels of a black image were painted: bool `[64, 64]`."""
    image = Image.new("RGB", (SIDE, SIDE))
    draw(Painter.over(image), generator(seed, "scene"))
    return np.asarray(image).any(axis=-1)


def test_backdrop_fills_the_image_and_follows_from_the_stream() -> None:
    one, two, other = (backdrop(generator(seed, "scene"), SIDE) for seed in (1, 1, 2))
    assert one.size == (SIDE, SIDE) and np.asarray(one).min() > 0
    assert one.tobytes() == two.tobytes() != other.tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_perch_is_near_the_feet(seed: int) -> None:
    rows, _ = np.nonzero(painted(lambda painter, random: perch(painter, random, (0.5, 0.8), DIFFICULTY), seed))
    assert len(rows) and abs(np.median(rows) / SIDE - 0.8) < 0.2


def test_difficulty_bounds_clutter_and_occluders() -> None:
    easy = dataclasses.replace(DIFFICULTY, clutter=0.0, occluders=(0, 0))
    for seed in range(5):
        assert not painted(lambda painter, random: occluders(painter, random, easy), seed).any()
        hard = painted(lambda painter, random: clutter(painter, random, DIFFICULTY), seed)
        assert hard.sum() > painted(lambda painter, random: clutter(painter, random, easy), seed).sum()
