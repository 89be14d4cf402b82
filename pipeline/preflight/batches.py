"""Batches of one image and batch norms, as far as the recipe alone shows."""

from collections.abc import Collection, Iterator

from exporters.student.architectures import has_batch_norm
from pipeline.recipe.schema.recipe import Recipe


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
