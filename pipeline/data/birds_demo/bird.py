"""One bird of a species in a pose. It looks right, its body is 1 long with its centre at (0, 0), y points down."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.birds_demo.difficulty import Difficulty
from pipeline.data.birds_demo.drawing import (
    CREAM,
    INK,
    Colour,
    Painter,
    Pair,
    ellipse,
    hsv,
    mix,
    shade,
    spline,
    turned,
)
from pipeline.data.birds_demo.species import Species

# (hue in degrees, saturation, value)
_PLUMAGE = {
    "ochre": (40.0, 0.66, 0.80),
    "slate": (212.0, 0.32, 0.60),
    "rust": (15.0, 0.66, 0.66),
    "olive": (74.0, 0.48, 0.56),
}
_BODY: list[Pair] = [
    *((-0.50, 0.03), (-0.20, -0.19), (0.10, -0.31), (0.22, -0.45), (0.37, -0.54), (0.51, -0.48), (0.56, -0.37)),
    *((0.53, -0.25), (0.47, -0.15), (0.46, 0.04), (0.33, 0.21), (0.08, 0.30), (-0.20, 0.23), (-0.44, 0.14)),
]
_HEAD = range(2, 9)  # the points of the body's outline that belong to the head and move with it
_BELLY: list[Pair] = [
    *((0.47, -0.20), (0.44, 0.05), (0.31, 0.195), (0.07, 0.275), (-0.24, 0.20), (-0.02, 0.15), (0.22, 0.08)),
]
_WING_TOP = spline([(0.27, -0.13), (0.12, -0.21), (-0.14, -0.16), (-0.42, -0.02), (-0.64, 0.13)], closed=False)
_WING_LOW = spline([(0.27, -0.13), (0.23, 0.09), (0.03, 0.21), (-0.26, 0.20), (-0.64, 0.13)], closed=False)
_SHOULDER = (0.27, -0.13)
_TAIL_ROOT = (-0.44, 0.08)
_LEG_ROOTS: tuple[Pair, Pair] = ((0.13, 0.24), (-0.01, 0.26))
_LEG_LENGTH = {"short": 0.22, "long": 0.62}
_BILL_REACH = {"cone": 0.73, "hook": 0.82, "needle": 1.03, "spoon": 1.06}
_TAIL_REACH = {"short": -0.76, "fork": -0.98, "wedge": -0.92, "long": -1.22}
_CREST_TOP = {"none": -0.55, "pointed": -0.76, "fan": -0.80}


@dataclass(frozen=True)
class Pose:
    """What differs from one image of a species to the next. The same pose fits every species."""

    scale: float
    position: Pair
    rotation: float
    foreshortening: float
    flipped: bool
    head: Pair
    tail: float
    wing: float
    hue: float
    saturation: float
    value: float
    belly: float
    contrast: float
    bill_hue: float
    jitter: tuple[float, ...]  # 64 numbers, -1 to 1: the small irregularities of marks and feathers

    @classmethod
    def draw(cls, rng: np.random.Generator, difficulty: Difficulty) -> "Pose":
        """A pose from a random stream; the number of draws is always the same."""
        motion = difficulty.part_motion
        return cls(
            scale=rng.uniform(*difficulty.scale),
            position=(0.5 + difficulty.position * rng.uniform(-1, 1), 0.5 + difficulty.position * rng.uniform(-1, 1)),
            rotation=difficulty.rotation * rng.uniform(-1, 1),
            foreshortening=rng.uniform(*difficulty.foreshortening),
            flipped=bool(rng.random() < 0.5),
            head=(0.05 * motion * rng.uniform(-1, 1), 0.06 * motion * rng.uniform(-1, 1)),
            tail=16.0 * motion * rng.uniform(-1, 1),
            wing=9.0 * motion * rng.uniform(-1, 1),
            hue=difficulty.hue * rng.uniform(-1, 1),
            saturation=rng.uniform(*difficulty.saturation),
            value=rng.uniform(*difficulty.value),
            belly=rng.uniform(0.35, 0.7),
            contrast=rng.uniform(*difficulty.mark_contrast),
            bill_hue=rng.uniform(0.02, 0.12),
            jitter=tuple(rng.uniform(-1.0, 1.0, 64).tolist()),
        )


@dataclass(frozen=True)
class _Colours:
    body: Colour
    belly: Colour
    wing: Colour
    mark: Colour
    dark: Colour
    bill: Colour


def place(painter: Painter, species: Species, pose: Pose, largest: float) -> tuple[Painter, Pair]:
    """The bird's own coordinate system on a painter of the whole image, and where its feet stand in the image's.

    The species' full extent, not its body, is centred on the pose's position and held within `largest` of the side.
    """
    left, right = _TAIL_REACH[species.tail], _BILL_REACH[species.bill]
    top, bottom = _CREST_TOP[species.crest], 0.26 + _LEG_LENGTH[species.legs]
    scale = min(pose.scale, largest / max(right - left, bottom - top))
    width = pose.foreshortening * scale * (-1.0 if pose.flipped else 1.0)
    dx, dy = turned((left + right) / 2 * width, (top + bottom) / 2 * scale, pose.rotation)
    origin = (pose.position[0] - dx, pose.position[1] - dy)
    foot_x, foot_y = turned(0.08 * width, bottom * scale, pose.rotation)
    return painter.moved(origin, (width, scale), pose.rotation), (origin[0] + foot_x, origin[1] + foot_y)


def draw_bird(painter: Painter, species: Species, pose: Pose) -> None:
    """Draw the bird, from what is farthest away to what is nearest, on a painter from `place`."""
    hue, saturation, value = _PLUMAGE[species.plumage]
    body = hsv(hue / 360 + pose.hue, saturation * pose.saturation, value * pose.value)
    wing = shade(body, 0.62)
    colours = _Colours(
        body=body,
        belly=mix(body, CREAM, pose.belly),
        wing=wing,
        mark=mix(wing, CREAM, pose.contrast),
        dark=mix(shade(body, 0.35), INK, 0.3),
        bill=hsv(pose.bill_hue, 0.55, 0.78 if pose.jitter[0] > 0 else 0.42),
    )
    _legs(painter, species, pose)
    _tail(painter, species, pose, colours)
    _crest(painter, species, pose, colours)
    _body(painter, pose, colours)
    _bill(painter, species, pose, colours)
    _wing(painter, species, pose, colours)


def _legs(painter: Painter, species: Species, pose: Pose) -> None:
    colour = hsv(pose.bill_hue, 0.5, 0.5 if pose.jitter[1] > 0 else 0.32)
    length = _LEG_LENGTH[species.legs]
    for (x, y), bend in zip(_LEG_ROOTS, pose.jitter[2:4], strict=True):
        knee, foot = (x - 0.06 - 0.03 * bend, y + length * 0.48), (x + 0.02 + 0.03 * bend, y + length)
        painter.stroke([(x, y - 0.06), knee, foot], colour, 0.055, 0.04)
        for toe in (-0.09, 0.06, 0.12):
            painter.stroke([foot, (foot[0] + toe, foot[1] + 0.025)], colour, 0.035, 0.02)


def _tail(painter: Painter, species: Species, pose: Pose, colours: _Colours) -> None:
    """The tail, drawn along its own negative x axis from the rump."""
    tail = painter.moved(_TAIL_ROOT, degrees=-14.0 + pose.tail)
    feather, line = shade(colours.wing, 0.9), colours.dark
    if species.tail == "short":
        tail.fill([(0.12, -0.08), (-0.30, -0.09), (-0.32, 0.10), (0.12, 0.08)], feather)
        for y in (-0.03, 0.035):
            tail.stroke([(-0.06, y * 0.8), (-0.31, y)], line, 0.018)
    elif species.tail == "fork":
        for side in (-1.0, 1.0):
            prong = [(0.12, 0.0), (0.1, 0.08 * side), (-0.2, 0.12 * side), (-0.56, 0.24 * side), (-0.22, 0.015 * side)]
            tail.fill(prong, feather)
            tail.stroke([(-0.05, 0.05 * side), (-0.22, 0.08 * side), (-0.54, 0.23 * side)], line, 0.02)
    elif species.tail == "wedge":
        tail.fill([(0.12, -0.07), (-0.28, -0.19), (-0.50, 0.0), (-0.28, 0.19), (0.12, 0.07)], feather)
        for y in (-0.09, 0.0, 0.09):
            tail.stroke([(-0.05, y * 0.4), (-0.47 + abs(y), y)], line, 0.018)
    else:
        line_along = spline([(0.12, 0.0), (-0.3, 0.01), (-0.6, 0.05), (-0.84, 0.11)], closed=False)
        tail.stroke(line_along, feather, 0.17, 0.12)
        tail.fill(ellipse((-0.84, 0.11), 0.07, 0.06), feather)
        tail.stroke(line_along[2:], line, 0.02)


def _crest(painter: Painter, species: Species, pose: Pose, colours: _Colours) -> None:
    head = painter.moved(pose.head)
    if species.crest == "pointed":
        red = hsv(0.985 + 0.012 * pose.jitter[4], 0.84, 0.80 + 0.08 * pose.jitter[5])
        tip = (0.06 + 0.04 * pose.jitter[6], -0.78)
        head.fill(spline([(0.50, -0.46), (0.42, -0.56), (0.28, -0.64), tip, (0.17, -0.60), (0.20, -0.42)]), red)
        head.stroke([(0.40, -0.52), (0.24, -0.60), tip], shade(red, 0.6), 0.025, 0.01)
    elif species.crest == "fan":
        for number, degrees in enumerate((-150.0, -128.0, -106.0, -84.0, -62.0)):
            feather = head.moved((0.37, -0.44), degrees=degrees + 4.0 * pose.jitter[4 + number])
            feather.stroke([(0.0, 0.0), (0.30, 0.0)], colours.body, 0.05, 0.10)
            feather.stroke([(0.29, 0.0), (0.37, 0.0)], colours.dark, 0.10, 0.06)


def _body(painter: Painter, pose: Pose, colours: _Colours) -> None:
    turn_x, turn_y = pose.head
    outline = [(x + turn_x, y + turn_y) if i in _HEAD else (x, y) for i, (x, y) in enumerate(_BODY)]
    painter.fill(spline(outline), colours.body)
    painter.fill(spline(_BELLY), colours.belly)
    # The breast's feathers: short ticks, of every species alike.
    for across, down in zip(pose.jitter[10:22], pose.jitter[22:34], strict=True):
        x, y = 0.25 + 0.14 * across - 0.08 * down, 0.04 + 0.14 * down
        painter.stroke([(x, y), (x - 0.045, y + 0.03)], shade(colours.belly, 0.78), 0.022)
    back = spline([outline[-1], *outline[:4]], closed=False)
    painter.stroke(back, shade(colours.body, 0.8), 0.02, 0.03)
    head = painter.moved(pose.head)
    head.fill(ellipse((0.40, -0.40), 0.062, 0.06), mix(colours.body, CREAM, 0.45))
    head.fill(ellipse((0.405, -0.40), 0.045, 0.045), INK)
    head.fill(ellipse((0.42, -0.415), 0.016, 0.016), (255.0, 255.0, 255.0))


def _bill(painter: Painter, species: Species, pose: Pose, colours: _Colours) -> None:
    head = painter.moved(pose.head)
    colour, gape = colours.bill, shade(colours.bill, 0.5)
    if species.bill == "cone":
        head.fill(spline([(0.50, -0.49), (0.62, -0.44), (0.73, -0.35), (0.62, -0.27), (0.51, -0.23)], steps=3), colour)
        head.stroke([(0.52, -0.36), (0.71, -0.35)], gape, 0.02)
    elif species.bill == "hook":
        upper = [(0.51, -0.47), (0.65, -0.48), (0.78, -0.42), (0.825, -0.30), (0.79, -0.13), (0.74, -0.28)]
        head.fill([*upper, (0.68, -0.335), (0.64, -0.28), (0.52, -0.26)], colour)
        head.stroke([(0.52, -0.35), (0.67, -0.345), (0.75, -0.29)], gape, 0.02)
    elif species.bill == "needle":
        line = spline([(0.50, -0.37), (0.70, -0.40), (0.88, -0.36), (1.03, -0.26)], closed=False)
        head.stroke(line, colour, 0.085, 0.025)
    else:
        head.stroke([(0.50, -0.36), (0.72, -0.33), (0.90, -0.29)], colour, 0.085, 0.06)
        head.fill(ellipse((0.94, -0.28), 0.125, 0.098), colour)
        head.stroke([(0.54, -0.355), (0.72, -0.33), (0.92, -0.285)], gape, 0.02)


def _wing(painter: Painter, species: Species, pose: Pose, colours: _Colours) -> None:
    x, y = turned(*_SHOULDER, pose.wing)
    wing = painter.moved((_SHOULDER[0] - x, _SHOULDER[1] - y), degrees=pose.wing)
    # A plain wing is as light as a marked one is on average, so that the pattern is told by its texture.
    ground = mix(colours.wing, colours.mark, 0.3) if species.wing == "plain" else colours.wing
    wing.fill(_WING_TOP + _WING_LOW[::-1], ground)
    _marks(wing, species, pose, colours)
    for v in (0.35, 0.65):  # the flight feathers' edges, of every species alike
        wing.stroke(_along(v, 0.66, 0.97), colours.dark, 0.02)
    wing.stroke(_WING_LOW, shade(colours.wing, 0.6), 0.018)


def _marks(wing: Painter, species: Species, pose: Pose, colours: _Colours) -> None:
    """The wing's pattern in the wing's own coordinates: u from shoulder to tip, v from the upper to the lower edge."""
    jitter = pose.jitter[34:]
    if species.wing == "striped":
        for number, v in enumerate((0.16, 0.39, 0.62, 0.85)):
            wing.stroke(_along(v + 0.03 * jitter[number], 0.12, 0.88), colours.mark, 0.036)
    elif species.wing == "barred":
        for number, u in enumerate((0.16, 0.30, 0.44, 0.58, 0.72)):
            u_here = u + 0.015 * jitter[number]
            wing.stroke([_at(u_here, 0.06), _at(u_here + 0.02, 0.94)], colours.mark, 0.046)
    elif species.wing == "spotted":
        number = 0
        for row, v in enumerate((0.2, 0.5, 0.8)):
            for column in range(5):
                u = 0.17 + 0.14 * column + 0.05 * (row % 2) + 0.02 * jitter[number]
                wing.fill(ellipse(_at(u, v), 0.034, 0.034), colours.mark)
                number += 1


def _at(u: float, v: float) -> Pair:
    """The wing's point at (u, v), both 0 to 1."""
    position = u * (len(_WING_TOP) - 1)
    index = min(int(position), len(_WING_TOP) - 2)
    rest = position - index
    (ax, ay), (bx, by) = _WING_TOP[index], _WING_TOP[index + 1]
    (cx, cy), (dx, dy) = _WING_LOW[index], _WING_LOW[index + 1]
    top_x, top_y, low_x, low_y = (
        ax + (bx - ax) * rest,
        ay + (by - ay) * rest,
        cx + (dx - cx) * rest,
        cy + (dy - cy) * rest,
    )
    return top_x + (low_x - top_x) * v, top_y + (low_y - top_y) * v


def _along(v: float, start: float, end: float) -> list[Pair]:
    """A line along the wing at the height `v`."""
    return [_at(start + (end - start) * step / 5, v) for step in range(6)]
