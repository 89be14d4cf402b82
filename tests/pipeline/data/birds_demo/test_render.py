import dataclasses
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from pipeline.data.birds_demo import CLASS_NAMES, SPECIES, Species, render_image
from pipeline.data.birds_demo.difficulty import DIFFICULTY, Difficulty
from pipeline.data.birds_demo.render import render_species
from pipeline.randomness import generator

STILL = dataclasses.replace(DIFFICULTY, position=0.0, rotation=0.0, clutter=0.0, occluders=(0, 0), grain=0.0)
BASE = Species("a bird", "cone", "none", "short", "plain", "short", "slate")

# Mean brightness of 4 x 4 blocks. Where the drawing changed on purpose: raise VERSION and renew these.
GOLDEN = {
    (0, "train", 0): [[128, 134, 113, 99], [117, 129, 122, 109], [104, 90, 81, 76], [107, 89, 95, 86]],
    (6, "test", 3): [[67, 58, 60, 65], [64, 60, 76, 59], [42, 54, 60, 55], [47, 57, 66, 65]],
    (15, "train", 7): [[114, 113, 113, 127], [120, 102, 116, 120], [158, 147, 117, 139], [137, 154, 175, 142]],
}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.int16)


@pytest.mark.parametrize(("image", "grid"), GOLDEN.items())
def test_golden_images_are_reproduced(image: tuple[int, str, int], grid: list[list[int]]) -> None:
    blocks = pixels(render_image(*image)).reshape(4, 16, 4, 16, 3).mean((1, 3, 4))
    np.testing.assert_allclose(blocks, grid, atol=2.0)


@pytest.mark.parametrize("class_index", range(len(SPECIES)))
def test_same_arguments_give_the_same_pixels(class_index: int) -> None:
    first = render_image(class_index, "train", 5)
    render_image(0, "test", 1)
    assert first.mode == "RGB" and first.size == (64, 64)
    assert first.tobytes() == render_image(class_index, "train", 5).tobytes()


def test_all_images_differ() -> None:
    images = {
        render_image(class_index, split, index).tobytes()
        for class_index in range(len(SPECIES))
        for split in ("train", "test")
        for index in range(6)
    }
    assert len(images) == len(SPECIES) * 2 * 6


def test_splits_share_neither_pose_nor_scene() -> None:
    train = np.stack([pixels(render_image(3, "train", index)) for index in range(12)])
    test = np.stack([pixels(render_image(3, "test", index)) for index in range(12)])
    distance = np.abs(train[:, None] - test[None]).mean((2, 3, 4))
    assert distance.min() > 8


@pytest.mark.parametrize("pair", list(combinations(SPECIES, 2)), ids=lambda pair: f"{pair[0].folder}-{pair[1].folder}")
def test_species_in_one_pose_and_scene_differ_visibly(pair: tuple[Species, Species]) -> None:
    first, second = (pixels(render_species(species, generator(1, "pose"), 64, STILL)) for species in pair)
    assert (np.abs(first - second).max(2) > 24).sum() >= 12


WINGS = [dataclasses.replace(BASE, wing=wing) for wing in ("plain", "striped", "spotted", "barred")]


@pytest.mark.parametrize("pair", list(combinations(WINGS, 2)), ids=lambda pair: f"{pair[0].wing}-{pair[1].wing}")
def test_wing_patterns_are_small_and_of_high_frequency(pair: tuple[Species, Species]) -> None:
    """What tells the patterns apart is confined to the wing, and most of its energy is beyond a quarter of Nyquist."""
    radius = 2 * np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None, :])
    fine = total = 0.0
    for index in range(8):
        first, second = (pixels(render_species(one, generator(5, "fine", index=index), 64, STILL)) for one in pair)
        difference = (first - second).mean(2)
        assert 0.005 < (np.abs(difference) > 8).mean() < 0.12
        energy = np.abs(np.fft.fft2(difference)) ** 2
        fine, total = fine + energy[radius > 0.25].sum(), total + energy.sum()
    assert fine > 0.5 * total


def test_nuisances_follow_their_ranges() -> None:
    def spread(difficulty: Difficulty) -> float:
        images = [pixels(render_species(SPECIES[0], generator(3, "spread", index=i), 64, difficulty)) for i in range(8)]
        return float(np.stack(images).std(0).mean())

    flat = dataclasses.replace(
        STILL, scale=(0.5, 0.5), hue=0.0, exposure=(1.0, 1.0), light_gradient=0.0, shadow=0.0, part_motion=0.0
    )
    assert spread(flat) < spread(DIFFICULTY)
    noisy = dataclasses.replace(flat, grain=20.0)
    clean, grainy = (pixels(render_species(SPECIES[0], generator(4, "n"), 64, d)) for d in (flat, noisy))
    assert 12 < (grainy - clean).std() < 21


def test_any_size_renders_and_unknown_classes_are_refused() -> None:
    assert render_image(2, "train", 0, size=96).size == (96, 96)
    large, small = render_image(2, "train", 0, size=128).reduce(16), render_image(2, "train", 0).reduce(8)
    assert np.abs(pixels(large) - pixels(small)).mean() < 4
    for wrong in (-1, len(CLASS_NAMES)):
        with pytest.raises(IndexError, match="birds_demo"):
            render_image(wrong, "train", 0)
