"""How many steps a training takes, and whether they are enough."""

_FEW_STEPS = 10
"""Steps an epoch; below, momentum and a schedule by epochs move in jumps."""
_SHORT_SCHEDULE = 500
"""Steps in all; a network trained from scratch has hardly moved by then."""
_SMALLEST_ADVISED = 16
"""Images a step; the statistics of batch norms become noisy below."""


def steps_an_epoch(images: int, batch_size: int) -> int:
    """Steps over so many training images; the last batch is left out where it is not full."""
    return max(1, images // batch_size)


def images_a_step(images: int, batch_size: int, accumulate: int) -> int:
    """Images of a full step of the optimizer; fewer than are asked for where an epoch has fewer.

    Args:
        images: in the training split.
        batch_size: images a batch.
        accumulate: batches a step.
    """
    return min(batch_size, images) * min(accumulate, steps_an_epoch(images, batch_size))


def fewer_images_a_step(images: int, batch_size: int, epochs: int) -> int | None:
    """A batch size that suits a small data set better: a power of two, at least 16.

    Args:
        images: in the training split.
        batch_size: images a step so far.
        epochs: of the schedule.

    Returns:
        None where there are steps enough, or no advisable size gives twice as many.
    """
    steps = steps_an_epoch(images, batch_size)
    if steps >= _FEW_STEPS or steps * epochs >= _SHORT_SCHEDULE:
        return None
    better = max(1 << max(0, (images // _FEW_STEPS).bit_length() - 1), _SMALLEST_ADVISED)
    helps = 2 * better <= batch_size and steps_an_epoch(images, better) >= 2 * steps
    return better if helps else None
