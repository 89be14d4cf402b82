from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.settings.step_count import fewer_images_a_step, images_a_step, steps_an_epoch


@given(st.integers(1, 10_000), st.integers(1, 512))
def test_last_batch_counts_only_where_it_is_full_or_the_only_one(images: int, batch: int) -> None:
    full = len([start for start in range(0, images, batch) if start + batch <= images])
    assert steps_an_epoch(images, batch) == max(1, full)


@given(st.integers(1, 5_000), st.integers(1, 512), st.integers(1, 200))
def test_advice_is_smaller_and_gives_more_steps(images: int, batch: int, epochs: int) -> None:
    advised = fewer_images_a_step(images, batch, epochs)
    if advised is not None:
        assert advised < batch
        assert steps_an_epoch(images, advised) >= 2 * steps_an_epoch(images, batch)


@given(st.integers(1, 5_000), st.integers(1, 512), st.integers(1, 64))
def test_images_a_step_are_those_of_the_largest_group_of_batches(images: int, batch: int, accumulate: int) -> None:
    sizes = [min(batch, images - start) for start in range(0, images, batch)]
    full = [size for size in sizes if size == batch] or sizes
    groups = [sum(full[start : start + accumulate]) for start in range(0, len(full), accumulate)]
    assert images_a_step(images, batch, accumulate) == max(groups)
