"""The device and the precision that training runs on."""

from pipeline.preflight.base import Report, Subject


def check(subject: Subject, report: Report) -> None:
    """Look for the device.

    Raises:
        UnavailableError: it is not there, does not have the precision, or cannot decode what it is asked to.
    """
    import torch

    from pipeline.data.loading import check_decoder
    from pipeline.training.device import choose_device

    device, _ = choose_device(subject.recipe.device, subject.recipe.train.precision)
    if subject.recipe.data.decode == "gpu":
        check_decoder(torch.device(device))
