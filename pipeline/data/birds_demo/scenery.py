"""What is around the bird: a far, soft background, sharp clutter near it, a perch, and what stands in front."""

import math

import numpy as np
from PIL import Image, ImageFilter

from pipeline.data.birds_demo.difficulty import Difficulty
from pipeline.data.birds_demo.drawing import Colour, Painter, Pair, ellipse, hsv, mix, shade, spline

_OCTAGON = [(math.cos(step * math.pi / 4), math.sin(step * math.pi / 4)) for step in range(8)]


def backdrop(rng: np.random.Generator, side: int) -> Image.Image:
    """The far background `[side, side]`: a gradient from sky or foliage to the ground, with soft blotches."""
    kind = rng.integers(3)
    if kind == 0:  # open sky
        top = hsv(rng.uniform(0.54, 0.61), rng.uniform(0.2, 0.5), rng.uniform(0.7, 0.95))
        bottom = hsv(rng.uniform(0.08, 0.16), rng.uniform(0.08, 0.3), rng.uniform(0.75, 0.95))
    elif kind == 1:  # foliage
        top = hsv(rng.uniform(0.2, 0.36), rng.uniform(0.3, 0.55), rng.uniform(0.3, 0.6))
        bottom = hsv(rng.uniform(0.16, 0.3), rng.uniform(0.3, 0.55), rng.uniform(0.4, 0.7))
    else:  # earth and rock
        top = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.1, 0.4), rng.uniform(0.5, 0.8))
        bottom = hsv(rng.uniform(0.04, 0.14), rng.uniform(0.15, 0.45), rng.uniform(0.3, 0.6))
    small = 32
    ramp = np.linspace(0.0, 1.0, small)[:, None, None]
    field = np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp + np.zeros((small, small, 3))
    image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
    painter = Painter.over(image)
    for x, y, radius, light in rng.uniform((0, 0, 0.05, 0.75), (1, 1, 0.22, 1.25), (9, 4)).tolist():
        painter.fill(ellipse((x, y), radius, radius), shade(mix(top, bottom, y), light))
    image = image.filter(ImageFilter.BoxBlur(1.5))
    return image.resize((side, side), Image.Resampling.BILINEAR)


def clutter(painter: Painter, rng: np.random.Generator, difficulty: Difficulty) -> None:
    """Stones, leaves and grass behind the bird; some carry stripes or spots, so that texture alone never decides."""
    for _ in range(round(difficulty.clutter * rng.integers(1, 5))):
        stone(painter, rng, (rng.uniform(0, 1), rng.uniform(0.62, 1.02)), rng.uniform(0.06, 0.17), difficulty)
    for _ in range(round(difficulty.clutter * rng.integers(3, 9))):
        leaf(painter, rng, (rng.uniform(0, 1), rng.uniform(0, 0.95)), rng.uniform(0.07, 0.15), difficulty)
    if rng.random() < 0.6:
        grass(painter, rng, round(difficulty.clutter * rng.integers(6, 18)))
    for _ in range(round(difficulty.clutter * rng.integers(0, 3))):
        twig(painter, rng, rng.uniform(0.012, 0.028))


def stone(painter: Painter, rng: np.random.Generator, centre: Pair, radius: float, difficulty: Difficulty) -> None:
    """A stone lit from above, plain or speckled."""
    colour = hsv(rng.uniform(0.03, 0.16), rng.uniform(0.03, 0.25), rng.uniform(0.35, 0.75))
    local = painter.moved(centre, (radius, radius * rng.uniform(0.55, 0.85)), rng.uniform(-15, 15))
    bumps = rng.uniform(0.84, 1.16, 8).tolist()
    outline = spline([(bump * x, bump * y) for bump, (x, y) in zip(bumps, _OCTAGON, strict=True)], steps=4)
    local.fill(outline, shade(colour, 0.62))
    local.moved((-0.05, -0.12), (0.84, 0.84)).fill(outline, colour)
    local.moved((-0.12, -0.32), (0.45, 0.45)).fill(outline, shade(colour, 1.16))
    spots = rng.uniform(-0.6, 0.6, (10, 2)).tolist()
    if rng.random() < difficulty.twins_in_clutter:
        fleck = shade(colour, 1.35 if rng.random() < 0.5 else 0.55)
        for x, y in spots:
            local.fill(ellipse((x, y), 0.10, 0.10), fleck)


def leaf(painter: Painter, rng: np.random.Generator, centre: Pair, length: float, difficulty: Difficulty) -> None:
    """A pointed leaf with its midrib, plain or with side veins."""
    colour = hsv(rng.uniform(0.1, 0.36), rng.uniform(0.35, 0.7), rng.uniform(0.28, 0.7))
    local = painter.moved(centre, (length, length), rng.uniform(0, 360))
    width = rng.uniform(0.25, 0.45)
    local.fill(
        spline([(-1, 0), (-0.3, -width), (0.4, -width * 0.8), (1, 0), (0.4, width * 0.8), (-0.3, width)]), colour
    )
    vein = shade(colour, 1.4 if rng.random() < 0.5 else 0.6)
    local.stroke([(-1.2, 0), (0.9, 0)], vein, 0.1, 0.05)
    if rng.random() < difficulty.twins_in_clutter:
        for x in (-0.55, -0.15, 0.25):
            for side in (-1.0, 1.0):
                local.stroke([(x, 0), (x + 0.3, side * width * 0.75)], vein, 0.08, 0.05)


def grass(painter: Painter, rng: np.random.Generator, blades: int) -> None:
    """A tuft of blades from the lower edge."""
    hue, foot = rng.uniform(0.15, 0.33), rng.uniform(0.1, 0.9)
    for spread, lean, height, value in rng.uniform(
        (-0.45, -0.2, 0.12, 0.3), (0.45, 0.2, 0.45, 0.75), (blades, 4)
    ).tolist():
        x = foot + spread
        line = spline(
            [(x, 1.02), (x + lean * 0.3, 1.0 - height * 0.6), (x + lean, 1.0 - height)], closed=False, steps=3
        )
        painter.stroke(line, hsv(hue, 0.5, value), 0.022, 0.006)


def twig(painter: Painter, rng: np.random.Generator, width: float) -> None:
    """A thin twig right across the image, with side shoots."""
    colour = bark(rng)
    left, right, sag = rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0), rng.uniform(-0.12, 0.12)
    line = spline([(-0.05, left), (0.5, (left + right) / 2 + sag), (1.05, right)], closed=False, steps=4)
    painter.stroke(line, colour, width, width * 0.6)
    for share, lean in rng.uniform((1.0, -0.16), (7.0, 0.16), (3, 2)).tolist():
        x, y = line[int(share)]
        painter.stroke([(x, y), (x + 0.1, y + lean)], colour, width * 0.6, width * 0.3)


def bark(rng: np.random.Generator) -> Colour:
    """A colour of wood."""
    return hsv(rng.uniform(0.05, 0.1), rng.uniform(0.2, 0.5), rng.uniform(0.22, 0.5))


def perch(painter: Painter, rng: np.random.Generator, feet: Pair, difficulty: Difficulty) -> None:
    """What the bird stands on, by chance a branch or stones."""
    x, y = feet
    if rng.random() < 0.6:
        colour, slope, width = bark(rng), rng.uniform(-0.2, 0.2), rng.uniform(0.05, 0.09)
        knots = rng.uniform(-0.02, 0.02, 2).tolist()
        middle = y + width * 0.45
        ends = [(-0.05, middle - slope * (x + 0.05)), (x * 0.5, middle - slope * x * 0.5 + knots[0]), (x, middle)]
        ends += [((1 + x) / 2, middle + slope * (1 - x) / 2 + knots[1]), (1.05, middle + slope * (1.05 - x))]
        line = spline(ends, closed=False)
        painter.stroke(line, shade(colour, 0.7), width, width * 0.75)
        painter.moved((0.0, -0.18 * width)).stroke(line, shade(colour, 1.15), width * 0.5, width * 0.35)
        for share in rng.uniform(0, 1, 7).tolist():
            cx, cy = line[int(share * (len(line) - 1))]
            painter.stroke([(cx, cy - width * 0.3), (cx + 0.03, cy + width * 0.3)], shade(colour, 0.5), 0.01)
    else:
        for offset, drop, radius in rng.uniform((-0.22, 0.0, 0.08), (0.22, 0.06, 0.15), (3, 3)).tolist():
            stone(painter, rng, (x + offset, y + radius * 0.75 + drop), radius, difficulty)
        stone(painter, rng, (x, y + 0.08), 0.15, difficulty)


def occluders(painter: Painter, rng: np.random.Generator, difficulty: Difficulty) -> None:
    """A few thin things in front of the bird."""
    low, high = difficulty.occluders
    for _ in range(rng.integers(low, high + 1)):
        kind = rng.integers(3)
        if kind == 0:
            twig(painter, rng, rng.uniform(0.012, 0.026))
        elif kind == 1:
            grass(painter, rng, 5)
        else:
            leaf(painter, rng, (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)), rng.uniform(0.06, 0.11), difficulty)
