"""The device and the precision that training runs on."""

from exporters.core.errors import UnavailableError
from pipeline.preflight.base import Report, Subject


def check(subject: Subject, report: Report) -> None:
    """Look for the device.

    Raises:
        UnavailableError: it is not there, does not have the precision, has no CUDA graphs, or cannot decode what it is
            asked to.
    """
    import torch

    from pipeline.data.loading import check_decoder
    from pipeline.training.device import choose_device

    recipe = subject.recipe
    device, _ = choose_device(recipe.device, recipe.train.precision)
    for section, fit in (("train", recipe.train), ("teacher.visual.fit", recipe.teacher.visual.fit)):
        if fit is not None and fit.replays_graphs and device != "cuda":
            raise UnavailableError(
                f"{section}.cuda_graphs: CUDA graphs need an NVIDIA GPU, and the device here is {device}",
                remedy=f"Use --set {section}.cuda_graphs=false",
            )
    if recipe.data.decode == "gpu":
        check_decoder(torch.device(device))
