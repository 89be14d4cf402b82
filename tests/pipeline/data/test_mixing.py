import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.mixing import Mix, draw_mix, draw_mixes, mixes
from tests.pipeline.data.conftest import Augment
from tests.pipeline.data.reference import blended


def draws(count: int, **changes: object) -> list[Mix | None]:
    addresses = ((number // 50, number % 50) for number in range(count))
    return [draw_mix(Augment(**changes), 3, *address, 50, 32) for address in addresses]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=150)
@given(
    mixup=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    cutmix=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    images=st.integers(1, 9),
    index=st.integers(0, 8),
    size=st.integers(1, 33),
    seed=st.integers(0, 99),
)
def test_a_mix_is_reproducible_and_leaves_the_larger_part(mixup, cutmix, images, index, size, seed):
    settings, index = Augment(mixup=mixup, cutmix=cutmix), index % images
    mix = draw_mix(settings, seed, 2, index, images, size)  # type: ignore[arg-type]
    assert mix == draw_mix(settings, seed, 2, index, images, size)  # type: ignore[arg-type]
    if images == 1 or not (mixup or cutmix):
        assert mix is None
        return
    assert mix is not None
    assert mix.partner in set(range(images)) - {index}
    ones, zeros = np.full((size, size, 3), 255, np.uint8), np.zeros((size, size, 3), np.uint8)
    both = blended(mix, ones, zeros)
    assert both.shape == (size, size, 3) and both.dtype == np.uint8
    assert 0.5 <= mix.share <= 1
    if mix.box is None:
        assert mixup
        assert abs(both.mean() / 255 - mix.share) <= 0.5 / 255 + 1e-9
    else:
        assert cutmix
        left, top, right, bottom = mix.box
        assert 0 <= left <= right <= size and 0 <= top <= bottom <= size
        # The label follows the pixels exactly.
        assert both.mean() / 255 == pytest.approx(mix.share)
        assert not both[top:bottom, left:right].any()
    assert (ones == 255).all() and (zeros == 0).all()


def test_partners_and_kinds_are_uniform():
    found = [mix for mix in draws(4000, mixup=1.0, cutmix=1.0) if mix is not None]
    assert len(found) == 4000
    counts = np.bincount([mix.partner for mix in found], minlength=50)
    assert counts.min() > 40 and counts.max() < 130  # 80 expected
    assert sum(mix.box is None for mix in found) == pytest.approx(2000, abs=150)


def test_share_is_the_larger_part_of_a_beta_distribution():
    shares = [mix.share for mix in draws(4000, mixup=1.0) if mix is not None]
    # Beta(1, 1) is uniform, and so is its larger part, on [1/2, 1].
    assert np.histogram(shares, bins=5, range=(0.5, 1))[0] == pytest.approx([800] * 5, abs=120)
    near_one = [mix.share for mix in draws(1000, mixup=0.1) if mix is not None]
    assert np.median(near_one) > 0.97


def test_probability_is_the_share_of_mixed_images():
    mixed = draws(2000, mixup=1.0, mix_probability=0.3)
    assert sum(mix is not None for mix in mixed) == pytest.approx(600, abs=80)
    assert draws(50, mixup=1.0, mix_probability=0.0) == draws(50) == [None] * 50
    assert mixes(Augment(cutmix=0.5)) and not mixes(Augment())  # type: ignore[arg-type]
    assert not mixes(Augment(cutmix=0.5, mix_probability=0.0))  # type: ignore[arg-type]


def test_another_seed_epoch_or_image_gives_another_mix():
    addresses = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    found = {draw_mix(Augment(mixup=1.0), *address, 1000, 32) for address in addresses}  # type: ignore[arg-type]
    assert len(found) == 4


@pytest.mark.parametrize("kinds", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}, {"mixup": 5.0}])
def test_batch_is_mixed_as_each_image_by_itself(kinds: dict[str, float]):
    settings, random, indices = Augment(mix_probability=0.7, **kinds), np.random.default_rng(1), np.arange(40)
    images, partners = random.integers(0, 256, (2, 40, 17, 17, 3), dtype=np.uint8)
    together = draw_mixes(settings, 3, 2, indices, 50, 17)  # type: ignore[arg-type]
    mixed, found = together.mixed, images.copy()
    together.mix(torch.from_numpy(found), torch.from_numpy(partners[mixed]))
    alone = [draw_mix(settings, 3, 2, index, 50, 17) for index in indices.tolist()]  # type: ignore[arg-type]
    assert mixed.tolist() == [row for row, mix in enumerate(alone) if mix is not None and mix.share < 1]
    assert 15 < len(mixed) < 40
    for row in mixed.tolist():
        mix = alone[row]
        assert mix is not None
        assert (together.partners[row], together.shares[row]) == (mix.partner, mix.share)
        np.testing.assert_array_equal(found[row], blended(mix, images[row], partners[row]))
    for row, mix in enumerate(alone):
        box = (0, 0, 0, 0) if mix is None or mix.box is None else mix.box
        assert tuple(together.boxes[row].tolist()) == box
        assert together.partners[row] == (row if mix is None else mix.partner)
    still = np.setdiff1d(indices, mixed)
    assert (together.shares[still] == 1).all() and (found[still] == images[still]).all()
