"""One image of `birds_demo` as a pure function of (split, class, index)."""

import numpy as np
from PIL import Image

from pipeline.data.birds_demo import scenery
from pipeline.data.birds_demo.bird import Pose, draw_bird, place
from pipeline.data.birds_demo.difficulty import DIFFICULTY, SEED, Difficulty
from pipeline.data.birds_demo.drawing import Painter
from pipeline.data.birds_demo.species import SPECIES, Species
from pipeline.randomness import generator

_SUPERSAMPLING = 3


def render_image(class_index: int, split: str, index: int, size: int = 64) -> Image.Image:
    """Render one image.

    Args:
        class_index: the class, an index of `CLASS_NAMES`.
        split: the name of the split; each has random streams of its own, so that no image is in two of them.
        index: the image's number in its class and split, from 0.
        size: the side in pixels. The scene is the same at every size but for the grain.

    Returns:
        An RGB image, `size` x `size`.

    Raises:
        IndexError: there is no such class.
    """
    if not 0 <= class_index < len(SPECIES):
        raise IndexError(f"birds_demo has the classes 0 to {len(SPECIES) - 1}, not {class_index}")
    species = SPECIES[class_index]
    rng = generator(SEED, f"birds_demo {split} {species.name}", index=index)
    return render_species(species, rng, size)


def render_species(
    species: Species, rng: np.random.Generator, size: int = 64, difficulty: Difficulty = DIFFICULTY
) -> Image.Image:
    """Render a species in the scene and pose that `rng` gives: equal streams give all species the same ones."""
    side = size * _SUPERSAMPLING
    pose = Pose.draw(rng, difficulty)
    image = scenery.backdrop(rng, side)
    painter = Painter.over(image)
    bird, feet = place(painter, species, pose, difficulty.largest)
    scenery.clutter(painter, rng, difficulty)
    scenery.perch(painter, rng, feet, difficulty)
    draw_bird(bird, species, pose)
    scenery.occluders(painter, rng, difficulty)
    return _photograph(image.reduce(_SUPERSAMPLING), rng, difficulty)


def _photograph(image: Image.Image, rng: np.random.Generator, difficulty: Difficulty) -> Image.Image:
    """Light and camera: exposure, colour temperature, a gradient of light, dappled shade and the sensor's grain."""
    size = image.width
    exposure = rng.uniform(*difficulty.exposure)
    warmth = rng.uniform(-0.06, 0.06)
    slope_x, slope_y = difficulty.light_gradient * rng.uniform(-1, 1, 2)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    light = 1.0 + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    patches = Image.fromarray(rng.uniform(0.0, 1.0, (5, 5)).astype(np.float32))
    shadow = np.asarray(patches.resize((size, size), Image.Resampling.BICUBIC))
    light *= exposure * (1.0 - difficulty.shadow * np.clip(shadow, 0.0, 1.0))
    pixels = np.asarray(image, dtype=np.float32) * light[:, :, None]
    pixels *= np.array([1.0 + warmth, 1.0, 1.0 - warmth], dtype=np.float32)
    pixels += difficulty.grain * rng.standard_normal((size, size, 3), dtype=np.float32)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
