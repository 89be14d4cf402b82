import dataclasses

import numpy as np
import pytest
from PIL import Image

from pipeline.data.birds_demo import SPECIES, Species
from pipeline.data.birds_demo.bird import Pose, draw_bird, place
from pipeline.data.birds_demo.difficulty import DIFFICULTY
from pipeline.data.birds_demo.drawing import Painter
from pipeline.randomness import generator


def pose(seed: int) -> Pose:
    return Pose.draw(generator(seed, "pose"), DIFFICULTY)


def test_pose_takes_the_same_number_of_random_values_whatever_it_is() -> None:
    after = set()
    for difficulty in (DIFFICULTY, dataclasses.replace(DIFFICULTY, part_motion=0.0, rotation=0.0)):
        random = generator(0, "pose")
        Pose.draw(random, difficulty)
        after.add(random.random())
    assert len(after) == 1


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.name)
def test_bird_is_drawn_near_its_place(species: Species) -> None:
    image = Image.new("RGB", (128, 128), (1, 2, 3))
    centred = dataclasses.replace(pose(4), position=(0.5, 0.5), rotation=0.0)
    painter, feet = place(Painter.over(image), species, centred, 0.9)
    draw_bird(painter, species, centred)
    rows, columns = np.nonzero((np.asarray(image) != (1, 2, 3)).any(axis=-1))
    assert 200 < len(rows) < 128 * 128 / 2
    assert 0.3 < rows.mean() / 128 < 0.7 and 0.3 < columns.mean() / 128 < 0.7
    assert feet[1] > 0.5
