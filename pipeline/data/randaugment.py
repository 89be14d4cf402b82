"""RandAugment (Cubuk et al. 2020), with Pillow and random streams of the project."""

import math

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

MAGNITUDES = 31
"""Magnitudes count from 0 to 30, as the field counts them."""

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "colour",
    "contrast",
    "sharpness",
    "posterise",
    "solarise",
    "autocontrast",
    "equalise",
)

_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "colour": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}


def rand_augment(image: Image.Image, random: np.random.Generator, operations: int, magnitude: int) -> Image.Image:
    """Apply operations, sampled one by one with equal probability, at one magnitude.

    Args:
        image: mode RGB.
        random: the image's own stream.
        operations: N, how many.
        magnitude: M, 0 to 30; what it means is `apply_operation`'s affair.

    Returns:
        Mode RGB, of the same size; black comes in from outside.
    """
    chosen = random.integers(len(OPERATIONS), size=operations).tolist()
    signs = random.random(operations).tolist()
    for number, sign in zip(chosen, signs, strict=True):
        image = apply_operation(image, OPERATIONS[number], magnitude, negative=sign < 0.5)
    return image


def apply_operation(image: Image.Image, operation: str, magnitude: int, *, negative: bool) -> Image.Image:
    """One operation on an RGB image, with the strengths of the field.

    At magnitude 30: a shear of 0.3, a shift of 150/331 of the side, a turn of 30 degrees, a factor of 1 ± 0.9 for
    brightness, colour, contrast and sharpness, four of eight bits, all levels inverted. `negative` turns the sign.
    """
    strength = magnitude / (MAGNITUDES - 1)
    signed = -strength if negative else strength
    width, height = image.size
    match operation:
        case "identity":
            return image
        case "shear_x":
            # About the image's upper left corner, as the paper's code has it.
            return _affine(image, (1, 0.3 * signed, 0, 0, 1, 0))
        case "shear_y":
            return _affine(image, (1, 0, 0, 0.3 * signed, 1, 0))
        case "translate_x":
            return _affine(image, (1, 0, -int(150 / 331 * width * signed), 0, 1, 0))
        case "translate_y":
            return _affine(image, (1, 0, 0, 0, 1, -int(150 / 331 * height * signed)))
        case "rotate":
            return image.rotate(30 * signed, Image.Resampling.BILINEAR)
        case "posterise":
            return ImageOps.posterize(image, 8 - round(4 * strength))
        case "solarise":
            return ImageOps.solarize(image, math.ceil(255 * (1 - strength)))
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalise":
            return ImageOps.equalize(image)
        case _:
            return _ENHANCERS[operation](image).enhance(1 + 0.9 * signed)


def _affine(image: Image.Image, inverse: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
