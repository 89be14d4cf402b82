"""Drawn pictures with shapes of all sizes, as photographs have them, and light changes of them."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

Change = Callable[[Image.Image], Image.Image]


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Another picture for each seed: a ground that changes from side to side, with some twenty shapes."""
    random = np.random.default_rng(seed)
    corners = Image.fromarray(random.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    image = corners.resize(size, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    for _ in range(20):
        x, y = random.integers(-20, size[0]), random.integers(-20, size[1])
        box = (int(x), int(y), int(x + random.integers(8, 80)), int(y + random.integers(8, 80)))
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        shape(box, fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def saved_again(image: Image.Image, quality: int = 60) -> Image.Image:
    """As JPEG gives it back."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def cropped(image: Image.Image, share: float = 0.03) -> Image.Image:
    """Without so much of its width and height, half of that on each side."""
    x, y = (side * share / 2 for side in image.size)
    return image.crop((round(x), round(y), image.width - round(x), image.height - round(y)))


LIGHT_CHANGES: dict[str, Change] = {
    "saved again at quality 60": saved_again,
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "cropped by 3 %": cropped,
}
