"""Batch sizes: one image a batch with batch norms, and too few steps for a schedule."""

import math
from collections.abc import Collection, Iterator

from exporters.core.errors import UsageError
from exporters.core.wording import count_of
from exporters.student.architectures import has_batch_norm
from pipeline.distributed.ranks import this_rank
from pipeline.preflight.base import Report, Subject
from pipeline.recipe.schema.recipe import Recipe
from pipeline.training.settings import (
    FitSettings,
    NetworkFitSettings,
    fewer_images_a_step,
    images_a_step,
    steps_an_epoch,
)


def single_image_notes(recipe: Recipe, stages: Collection[str]) -> Iterator[str]:
    """A warning for each network with batch norms that one of the stages trains on batches of one image."""
    visual, student = recipe.teacher.visual, recipe.student
    trained = (
        ("teacher", "teacher.visual.fit", f"visual teacher {visual.model}", visual, visual.fit),
        ("distill", "train", f"student {student.model}", student, recipe.train),
    )
    for stage, section, what, network, schedule in trained:
        single = stage in stages and schedule is not None and schedule.batch_size == 1
        if single and not network.arguments and has_batch_norm(network.model):
            yield single_image_warning(section, what, more_images(section))


def single_image_warning(section: str, what: str, remedy: str) -> str:
    """Warning about batch norms that see one image at a time.

    Args:
        section: of the recipe that has the batch size.
        what: the network.
        remedy: what to do.
    """
    return (
        f"{section}.batch_size: a batch is one image, so that the batch norms of the {what} normalise each image by"
        f" itself in training, and by running means in use. {remedy}"
    )


def more_images(section: str) -> str:
    """The remedy where the recipe asks for batches of one image."""
    return f"Set {section}.batch_size to 2 or more."


def check_steps(subject: Subject, report: Report) -> None:
    """Warn of schedules with few steps, or with fewer images a step than they ask for: small data sets at settings for
    large ones."""
    images = len(subject.index.splits["train"])
    for section, schedule in _schedules(subject):
        warning = few_steps_warning(section, images, schedule.batch_size, schedule.epochs, schedule.batches_per_update)
        if warning is not None:
            report.warn(warning)
        if (_scales(schedule) or warning is None) and (short := short_steps_warning(section, images, schedule)):
            report.warn(short)


def _schedules(subject: Subject) -> Iterator[tuple[str, FitSettings]]:
    """Section → schedule of what the stages train."""
    recipe = subject.recipe
    text = recipe.teacher.text
    schedules: tuple[tuple[str, str, FitSettings | None], ...] = (
        ("distill", "train", recipe.train),
        ("teacher", "teacher.visual.fit", recipe.teacher.visual.fit),
        ("text", "teacher.text.fit", text.fit if text.weights == "fit" else None),
    )
    for stage, section, schedule in schedules:
        if stage in subject.stages and schedule is not None:
            yield section, schedule


def check_parts(subject: Subject, report: Report) -> None:
    """Refuse batches that several processes cannot divide into equal parts."""
    count, images = this_rank().count, len(subject.index.splits["train"])
    for section, schedule in _schedules(subject):
        error = uneven_parts(section, images, schedule.batch_size, count)
        if error is not None:
            report.add(error)


def uneven_parts(section: str, images: int, batch_size: int, processes: int) -> UsageError | None:
    """The error of batches that cannot be divided into equal parts; None where they can.

    Args:
        section: of the recipe that has the batch size.
        images: in the training split.
        batch_size: images a step, over all processes.
        processes: that train together.
    """
    batch = min(batch_size, images)  # a batch that is not full is left out, unless it is the only one
    if batch % processes == 0:
        return None
    lower, upper = batch // processes * processes, -(-batch // processes) * processes
    sizes = [str(size) for size in (lower, upper) if 0 < size <= images]
    return UsageError(
        f"{section}.batch_size: {count_of(batch, 'image')} a step cannot be divided among {processes} processes",
        remedy=f"Set it to {' or '.join(sizes)}." if sizes else "Use fewer processes.",
    )


def check_pieces(subject: Subject, report: Report) -> None:
    """Refuse `auto_batch` where several processes train: one whose memory runs out cannot tell those that wait."""
    count = this_rank().count
    for section, schedule in _schedules(subject):
        if count == 1 or not schedule.auto_batch:
            continue
        remedy = f"Set {section}.auto_batch to false, and {section}.batch_size to what fits"
        if isinstance(schedule, NetworkFitSettings):
            remedy += f"; with {section}.accumulate, as many images a step as before"
        report.add(
            UsageError(
                f"{section}.auto_batch: {count} processes that train together cannot agree on how to divide a batch",
                remedy=f"{remedy}.",
            )
        )


def _scales(schedule: FitSettings) -> bool:
    return isinstance(schedule, NetworkFitSettings) and schedule.scale_lr


def short_steps_warning(section: str, images: int, schedule: FitSettings) -> str | None:
    """The warning about a step that takes fewer images than the schedule asks for, because an epoch ends before.

    Args:
        section: of the recipe that has the schedule.
        images: in the training split.
        schedule: that of the section.

    Returns:
        None where steps are as large as asked; or where only a batch is not and the learning rate does not follow.
    """
    batch, accumulate = schedule.batch_size, schedule.batches_per_update
    batches, asked = steps_an_epoch(images, batch), schedule.images_per_update
    taken = images_a_step(images, batch, accumulate)
    if taken == asked or (batches >= accumulate and not _scales(schedule)):
        return None
    wanted = {"batch_size": (batch, min(batch, images)), "accumulate": (accumulate, min(accumulate, batches))}
    remedy = " and ".join(f"{section}.{key} to {fits}" for key, (given, fits) in wanted.items() if fits < given)
    short = f"{taken:,} images a step, not {asked:,}, because an epoch has {count_of(batches, 'batch', 'batches')}"
    if not _scales(schedule):
        return f"{section}.accumulate: {short}; a learning rate for {asked:,} is too high. Set {remedy}"
    share = taken / asked if schedule.optimizer == "sgd" else math.sqrt(taken / asked)
    return (
        f"{section}.scale_lr: {short}: the learning rate is scaled to {schedule.peak_lr:.4g}, and {taken:,} images a"
        f" step would make it {share * schedule.peak_lr:.4g}. Set {remedy}"
    )


def few_steps_warning(section: str, images: int, batch_size: int, epochs: int, accumulate: int = 1) -> str | None:
    """The warning about a schedule with few steps; None where there are enough, or no advisable batch size
    gives twice as many.

    Args:
        section: of the recipe that has the batch size.
        images: in the training split.
        batch_size: images a batch.
        epochs: of the schedule.
        accumulate: batches a step.
    """
    better = fewer_images_a_step(images, batch_size * accumulate, epochs)
    if better is None:
        return None
    steps, more = steps_an_epoch(images, batch_size * accumulate), steps_an_epoch(images, better)
    batches = f" times {section}.accumulate {accumulate}" if accumulate > 1 else ""
    remedy = f"{section}.batch_size to {better}" + (f" and {section}.accumulate to 1" if batches else "")
    return (
        f"only {count_of(steps, 'step')} an epoch"
        f" ({count_of(images, 'image')}, {section}.batch_size {batch_size}{batches}),"
        f" {steps * epochs:,} in all: set {remedy} for {more} an epoch"
    )
