"""Drawn images of other kinds: the same for a seed, and each of the kind that it is called."""

import numpy as np
import pytest

from pipeline.data.foreign import FOREIGN_KINDS, drawn_foreign


@pytest.mark.parametrize("kind", FOREIGN_KINDS)
def test_image_follows_from_seed_kind_and_number(kind: str) -> None:
    images = drawn_foreign(kind, 4, 24, seed=3)
    assert images.dtype == np.uint8 and images.shape == (4, 24, 24, 3)
    np.testing.assert_array_equal(images[:2], drawn_foreign(kind, 2, 24, seed=3))
    assert len({image.tobytes() for image in [*images, *drawn_foreign(kind, 4, 24, seed=4)]}) == 8


def test_kinds_are_what_they_are_called() -> None:
    noise, clouds, rectangles, plain = (
        drawn_foreign(kind, 8, 32, seed=0).astype(float) for kind in ("noise", "clouds", "rectangles", "plain")
    )

    def likeness(images: np.ndarray) -> float:
        """Correlation of neighbouring pixels."""
        return float(np.corrcoef(images[:, :, :-1].ravel(), images[:, :, 1:].ravel())[0, 1])

    assert abs(likeness(noise)) < 0.05 and abs(noise.mean() - 127.5) < 3
    assert 0.5 < likeness(clouds) < 0.99 and clouds.max() == 255 and clouds.min() == 0
    assert np.mean(np.diff(rectangles, axis=2) == 0) > 0.5
    assert plain.std(axis=(1, 2)).max() < 4


def test_stripes_have_the_spectrum_of_a_grating() -> None:
    """Nearly all of what varies has one frequency, and it is of 2 to 16 periods."""
    for image in drawn_foreign("stripes", 8, 64, seed=1).astype(float).mean(axis=3):
        window = np.hanning(64)[:, None] * np.hanning(64)[None]
        power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
        row, column = np.unravel_index(power.argmax(), power.shape)
        frequency = np.hypot(*(min(place, 64 - place) for place in (row, column)))
        assert 1 <= frequency <= 17
        assert sum(np.sort(power.ravel())[-32:]) > 0.8 * power.sum()
