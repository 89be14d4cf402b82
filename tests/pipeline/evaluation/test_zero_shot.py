from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.loading import Batch
from pipeline.evaluation.zero_shot import zero_shot_accuracy
from pipeline.tmkd.views.settings import EdgeView, HighFrequencyView
from pipeline.tmkd.views.views import Views
from tests.pipeline.models.small_clip import small_clip

CLASSES = 3


@pytest.mark.parametrize("specs", [{}, {"edge": EdgeView(strength=3.0), "soft": HighFrequencyView(strength=4.0)}])
@pytest.mark.parametrize("sizes", [[30], [13, 13, 4]])
def test_zero_shot_accuracy_equals_that_of_numpy(specs: dict, sizes: list[int], tmp_path: Path):
    clip = small_clip(tmp_path).eval()
    views = Views(specs)
    draws = np.random.default_rng(2)
    tints = draws.uniform(0, 1, (30, 3, 1, 1))
    images = torch.from_numpy((tints * draws.integers(0, 256, (30, 3, 20, 20))).astype(np.uint8))
    labels = torch.from_numpy(draws.integers(0, CLASSES, 30))

    with torch.no_grad():
        found = np.stack([clip.encode_image(view).double().numpy() for view in views(images.float() / 255)])
    texts = found[:, [3, 11, 20]]  # so that every class is the nearest to some image
    nearest = (found @ texts.transpose(0, 2, 1)).argmax(axis=-1)
    expected = (nearest == labels.numpy()).mean(axis=1)

    starts = np.cumsum([0, *sizes[:-1]])
    batches = [
        Batch(images[start : start + size], labels[start : start + size], torch.arange(start, start + size))
        for start, size in zip(starts.tolist(), sizes, strict=True)
    ]
    embeddings = torch.from_numpy(texts).float()
    accuracy = zero_shot_accuracy(clip.encode_image, embeddings, views, batches, torch.device("cpu"))
    assert list(accuracy) == list(views.names)
    assert list(accuracy.values()) == pytest.approx(expected.tolist())
    assert 0 < expected.min() <= expected.max() < 1
    assert len(np.unique(nearest)) == CLASSES
