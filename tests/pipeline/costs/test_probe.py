"""Trials of every kind of recipe give each operation a price that its work asks for."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.costs import probe
from pipeline.costs.counts import Counts
from pipeline.costs.probe import probe_networks, repeated
from pipeline.costs.work import work_of
from tests.pipeline.costs.recipes import KINDS, small_recipe

COUNTS = Counts(train=64, validation=20, test=40, classes=10)
OF_LOADING = {"index", "decode", "augment", "prepare"}
NAMES = [f"class {number}" for number in range(10)]


@pytest.mark.parametrize("kind", ["cached", "cold", "plain", "race", "whole images", "pretrained"])
def test_every_operation_of_the_work_has_a_price(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LONGEST", 0.0)
    monkeypatch.setattr(probe, "MOST_FLOPS", 1e8)
    recipe = small_recipe(tmp_path, "device=cpu", *KINDS[kind])
    found = probe_networks(recipe, COUNTS, NAMES)
    work = work_of(recipe, COUNTS, cached=True)
    wanted = {name for amounts in work.values() for name, amount in amounts.items() if amount}
    assert wanted <= set(found.prices) | OF_LOADING
    assert all(price.wall > 0 for price in found.prices.values())
    assert found.sizes["student"].parameters > 0
    if kind == "cached":
        # Logits, a map of 2 x 2 places in 64 channels and CLIP's embedding, each with a mark, in three views.
        assert found.cache_row == 3 * (4 * (10 + 4 * 64 + 64) + 3)
    # CLIP's embedding of the whole image with a mark, in three views.
    assert found.seen_row == (3 * (4 * 64 + 1) if kind == "whole images" else 0)


def test_first_trial_does_not_count_and_the_median_of_the_others_does() -> None:
    import time

    pauses = iter([0.3, 0.05, 0.05])
    took = repeated(lambda: time.sleep(next(pauses)), torch.device("cpu"), longest=0)
    assert 0.05 <= took.wall < 0.3


def test_trial_leaves_everything_that_a_training_depends_on_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "MOST_FLOPS", 1e8)
    recipe = small_recipe(tmp_path, "device=cpu", *KINDS["cold"])
    before = shared_state()
    probe_networks(recipe, COUNTS, NAMES, 0.0)
    after = shared_state()
    assert {name for name in before if before[name] != after[name]} == set()


def shared_state() -> dict[str, Any]:
    """What trials and trainings of one process share."""
    numpy_kind, numpy_keys, *numpy_place = np.random.get_state()
    return {
        "random numbers of torch": torch.random.get_rng_state().numpy().tobytes(),
        "of numpy": (numpy_kind, bytes(np.asarray(numpy_keys)), *numpy_place),
        "of Python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "type": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "kernels": (
            torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision(),
        ),
        "denormals": float(torch.tensor([2e-42]) * 0.5),
    }  # fmt: skip
