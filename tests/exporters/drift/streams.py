"""Values of drawn images: what a service measures, without the images."""

import numpy as np


def draw(random: np.random.Generator, count: int, classes: int = 10) -> np.ndarray:
    """Values as `value_rows` gives them: skewed, bounded and tied ones among them."""
    return np.stack(
        [
            random.normal(120, 30, count),
            random.gamma(20, 3, count),
            random.gamma(4, 3, count),
            np.where(random.random(count) < 0.5, 500.0, random.integers(300, 600, count)),
            1 - 0.8 * random.beta(1, 8, count),
            random.normal(9, 2, count),
            np.floor(classes * random.beta(2, 3, count)),
        ],
        axis=1,
    )
