"""The device and the precision that training runs on."""

from pipeline.preflight.base import Report, Subject


def check(subject: Subject, report: Report) -> None:
    """Look for the device.

    Raises:
        UnavailableError: it is not there, or does not have the precision.
    """
    from pipeline.training.device import choose_device

    choose_device(subject.recipe.device, subject.recipe.train.precision)
