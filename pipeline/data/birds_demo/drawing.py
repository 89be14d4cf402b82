"""Shapes on a supersampled canvas: splines, ribbons and ellipses in coordinates that can be moved, turned, flipped."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
Pair = tuple[float, float]

CREAM: Colour = (246.0, 238.0, 214.0)
INK: Colour = (34.0, 30.0, 30.0)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0 to 1) of `second` in it."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor below 1) or lighter, cut at 255."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour of 0 to 255 from hue (any number, a whole turn is 1), saturation and value (cut to 0 to 1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return 255.0 * red, 255.0 * green, 255.0 * blue


@lru_cache(maxsize=64)
def _catmull_rom(count: int, closed: bool, steps: int) -> NDArray[np.float64]:
    """The matrix that takes `count` control points to points on a uniform Catmull-Rom curve through them."""
    segments = count if closed else count - 1
    t = np.arange(steps) / steps
    basis = 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], 1)
    matrix = np.zeros((segments * steps + (not closed), count))
    for segment in range(segments):
        for offset in range(4):
            control = segment + offset - 1
            control = control % count if closed else min(max(control, 0), count - 1)
            matrix[segment * steps : (segment + 1) * steps, control] += basis[:, offset]
    if not closed:
        matrix[-1, -1] = 1.0
    return matrix


def spline(points: Sequence[Pair], *, closed: bool = True, steps: int = 5) -> list[Pair]:
    """A smooth curve through the points; `steps` points for each stretch between two of them."""
    curve: list[Pair] = (_catmull_rom(len(points), closed, steps) @ np.array(points)).tolist()
    return curve


def turned(x: float, y: float, degrees: float) -> Pair:
    """The point turned clockwise on the screen (y points down) about (0, 0)."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x * cosine - y * sine, x * sine + y * cosine


def ribbon(line: Sequence[Pair], start: float, end: float) -> list[Pair]:
    """The outline of a stroke along `line` whose width goes from `start` to `end`."""
    last = len(line) - 1
    if last == 1:  # most strokes: one straight piece
        (x0, y0), (x1, y1) = line
        length = 2 * max(math.hypot(x1 - x0, y1 - y0), 1e-9)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        near, far = (dx * start, dy * start), (dx * end, dy * end)
        left = [(x0 - near[1], y0 + near[0]), (x1 - far[1], y1 + far[0])]
        return [*left, (x1 + far[1], y1 - far[0]), (x0 + near[1], y0 - near[0])]
    left, right = [], []
    for number, (x, y) in enumerate(line):
        (x0, y0), (x1, y1) = line[max(number - 1, 0)], line[min(number + 1, last)]
        dx, dy = x1 - x0, y1 - y0
        half = (start + (end - start) * number / last) / 2 / max(math.hypot(dx, dy), 1e-9)
        left.append((x - dy * half, y + dx * half))
        right.append((x + dy * half, y - dx * half))
    return left + right[::-1]


_CIRCLE = [(math.cos(2 * math.pi * step / 12), math.sin(2 * math.pi * step / 12)) for step in range(12)]


def ellipse(centre: Pair, width: float, height: float) -> list[Pair]:
    """The outline of an ellipse with the half-axes `width` and `height`."""
    x, y = centre
    return [(x + width * cosine, y + height * sine) for cosine, sine in _CIRCLE]


@dataclass(frozen=True)
class Painter:
    """Draws shapes given in local coordinates: `pixel = (xx x + yx y + x0, xy x + yy y + y0)`.

    Points are plain floats, because arrays this short cost more than they save.
    """

    draw: ImageDraw.ImageDraw
    xx: float
    xy: float
    yx: float
    yy: float
    x0: float = 0.0
    y0: float = 0.0

    @classmethod
    def over(cls, image: Image.Image) -> "Painter":
        """A painter whose unit is the image's width, with (0, 0) at the top left."""
        return cls(ImageDraw.Draw(image), image.width, 0.0, 0.0, image.width)

    def at(self, x: float, y: float) -> Pair:
        """Where a local point lies in pixels."""
        return self.xx * x + self.yx * y + self.x0, self.xy * x + self.yy * y + self.y0

    def moved(self, origin: Pair, scale: Pair = (1.0, 1.0), degrees: float = 0.0) -> "Painter":
        """A painter of a coordinate system inside this one: first scaled, then turned, then set at `origin`."""
        (ax, ay), (bx, by) = turned(scale[0], 0.0, degrees), turned(0.0, scale[1], degrees)
        return Painter(
            self.draw,
            self.xx * ax + self.yx * ay,
            self.xy * ax + self.yy * ay,
            self.xx * bx + self.yx * by,
            self.xy * bx + self.yy * by,
            *self.at(*origin),
        )

    def fill(self, outline: Sequence[Pair], colour: Colour) -> None:
        """Fill a closed outline."""
        xx, xy, yx, yy, x0, y0 = self.xx, self.xy, self.yx, self.yy, self.x0, self.y0
        pixels = [value for x, y in outline for value in (xx * x + yx * y + x0, xy * x + yy * y + y0)]
        red, green, blue = colour
        self.draw.polygon(pixels, fill=(int(red), int(green), int(blue)))

    def stroke(self, line: Sequence[Pair], colour: Colour, start: float, end: float | None = None) -> None:
        """Draw a line of two points or more whose width goes from `start` to `end` (the same, unless given)."""
        self.fill(ribbon(line, start, start if end is None else end), colour)
