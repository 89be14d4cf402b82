"""Random images for tests of the views."""

import numpy as np
import torch
from hypothesis import strategies as st

sizes = st.tuples(st.integers(1, 3), st.integers(2, 17), st.integers(2, 17))


def random_images(seed: int, size: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    batch, height, width = size
    return torch.from_numpy(np.random.default_rng(seed).random((batch, 3, height, width))).to(dtype)
