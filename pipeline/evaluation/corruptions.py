"""Common corruptions of images, to see what a student is worth outside its clean test split.

A small set of our own, in the manner of Hendrycks and Dietterich (2019, arXiv 1903.12261) and written from the
definitions below; kinds, severities and sizes differ from theirs, so that figures are NOT comparable with ImageNet-C.
It works on what the network sees, at its size. The same image is always corrupted alike, for every student and seed.

`x` is the image in [0, 1], `S` its shorter side; results are clipped and rounded to 8 bits.

| kind | definition | severity 1 | 3 | 5 |
|---|---|---|---|---|
| gaussian_noise | `x + σ·n`, n standard normal in each pixel and channel | σ = .04 | .08 | .16 |
| blur | Gaussian of σ pixels in both directions, cut off at 3σ, mirrored at the edges | σ = .01·S | .02·S | .04·S |
| brightness | `x + b` | b = .1 | .2 | .4 |
| contrast | `m + c·(x - m)`, m the mean of each channel | c = .6 | .3 | .1 |
| jpeg | JPEG of that quality, chroma subsampled 4:2:0 | 40 | 20 | 8 |
| pixelate | averaged down to a share of its sides, and up again by the nearest pixel | .6 | .4 | .25 |
"""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipeline.randomness import generator

if TYPE_CHECKING:
    from torch import Tensor, device

    from pipeline.console import Console
    from pipeline.data.loading import Batch

SEVERITIES = (1, 3, 5)


def gaussian_noise(image: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation `sigma`, in [0, 1] units; uint8 `[H, W, 3]` in and out, as in all of these."""
    return _bytes(image / 255 + sigma * random.standard_normal(image.shape))


def blur(image: np.ndarray, share: float, _random: np.random.Generator) -> np.ndarray:
    """A Gaussian whose σ is a share of the shorter side."""
    from scipy.ndimage import gaussian_filter

    sigma = share * min(image.shape[:2])
    return _bytes(gaussian_filter(image / 255, (sigma, sigma, 0), mode="mirror", truncate=3.0))


def brightness(image: np.ndarray, added: float, _random: np.random.Generator) -> np.ndarray:
    """Brighter by a constant."""
    return _bytes(image / 255 + added)


def contrast(image: np.ndarray, factor: float, _random: np.random.Generator) -> np.ndarray:
    """Differences to each channel's mean, times a factor."""
    mean = (image / 255).mean(axis=(0, 1), keepdims=True)
    return _bytes(mean + factor * (image / 255 - mean))


def jpeg(image: np.ndarray, quality: float, _random: np.random.Generator) -> np.ndarray:
    """Compressed as JPEG and decoded again."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=int(quality), subsampling=2)
    with Image.open(stream) as decoded:
        return np.asarray(decoded.convert("RGB"))


def pixelate(image: np.ndarray, share: float, _random: np.random.Generator) -> np.ndarray:
    """Fewer, larger pixels."""
    height, width = image.shape[:2]
    small = (max(1, round(share * width)), max(1, round(share * height)))
    reduced = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(reduced.resize((width, height), Image.Resampling.NEAREST))


def _bytes(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return rounded


_Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
CORRUPTIONS: dict[str, tuple[_Corruption, tuple[float, float, float]]] = {
    "gaussian_noise": (gaussian_noise, (0.04, 0.08, 0.16)),
    "blur": (blur, (0.01, 0.02, 0.04)),
    "brightness": (brightness, (0.1, 0.2, 0.4)),
    "contrast": (contrast, (0.6, 0.3, 0.1)),
    "jpeg": (jpeg, (40, 20, 8)),
    "pixelate": (pixelate, (0.6, 0.4, 0.25)),
}
"""Name → function, and its strength at each of `SEVERITIES`."""


def corrupt(image: np.ndarray, name: str, severity: int, index: int) -> np.ndarray:
    """One image under one corruption.

    Args:
        image: uint8 `[H, W, 3]`.
        name: of `CORRUPTIONS`.
        severity: of `SEVERITIES`.
        index: of the image in its split; noise follows from it, the name and the severity.

    Returns:
        uint8 `[H, W, 3]`.
    """
    function, strengths = CORRUPTIONS[name]
    random = generator(0, f"corruption {name}", epoch=severity, index=index)
    return function(image, strengths[SEVERITIES.index(severity)], random)


def corrupted_batches(batches: "Iterable[Batch]", name: str, severity: int) -> "Iterator[Batch]":
    """The same batches with each image corrupted; images stay uint8 `[B, 3, S, S]`."""
    import torch

    for batch in batches:
        plain = batch.images.permute(0, 2, 3, 1).numpy()
        images = [
            corrupt(image, name, severity, index) for image, index in zip(plain, batch.indices.tolist(), strict=True)
        ]
        yield batch._replace(images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))


def accuracy_under_corruptions(
    logits_of: "Callable[[Tensor], Tensor]",
    batches: "Callable[[], Iterable[Batch]]",
    on: "device",
    console: "Console",
    shared: bool = False,
) -> dict[str, Any]:
    """Top-1 of a classifier under each corruption and severity, as JSON values.

    Args:
        logits_of: images `[B, 3, S, S]`, float32 in `[0, 1]`, on the device → logits `[B, K]`; in eval mode.
        batches: gives the split anew, for each of 18 passes.
        on: the device.
        console: shows progress.
        shared: as of `predict`.

    Returns:
        `images`, `mean_top1` over all kinds and severities, and `top1`: kind → severity, as text → accuracy.
    """
    from pipeline.evaluation.metrics import predict, top_k_correct

    top1: dict[str, dict[str, float]] = {name: {} for name in CORRUPTIONS}
    images = 0
    with console.track("corrupted test images", len(CORRUPTIONS) * len(SEVERITIES)) as bar:
        for name in CORRUPTIONS:
            for severity in SEVERITIES:
                logits, labels = predict(logits_of, corrupted_batches(batches(), name, severity), on, shared)
                top1[name][str(severity)] = float(top_k_correct(logits, labels, 1).mean())
                images = len(labels)
                bar.advance()
    mean = float(np.mean([list(by_severity.values()) for by_severity in top1.values()]))
    return {"images": images, "mean_top1": mean, "top1": top1}
