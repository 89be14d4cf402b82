"""A run that repeats another one by its `recipe.lock.yaml`: whether data and machine are the same."""

from exporters.core.errors import UnavailableError
from pipeline.preflight.base import Report, Subject
from pipeline.runner.environment import environment_changes


def check_environment(subject: Subject, report: Report) -> None:
    """Name each version, and the processor, that is another than the lock says: the last digits may differ."""
    lock = subject.recipe.lock
    if lock is not None and (changes := environment_changes(lock)):
        report.warn(
            f"the run that is repeated ran on something else, so that results may differ from it: {'; '.join(changes)}"
        )


def check_device(subject: Subject, report: Report) -> None:
    """Name the device where it is another than the lock says; loads torch.

    Raises:
        UnavailableError: the recipe's device is not here.
    """
    lock = subject.recipe.lock
    if lock is None or lock.device is None:
        return
    import torch

    from pipeline.training.device import choose_device

    device, _precision = choose_device(subject.recipe.device, subject.recipe.train.precision)
    here = torch.cuda.get_device_name() if device == "cuda" else device
    if here != lock.device:
        report.warn(f"the run that is repeated computed on {lock.device}, this one on {here}: results will differ")


def check_data(subject: Subject, report: Report) -> None:
    """Compare the images with those of the run that is repeated.

    Raises:
        UnavailableError: they are others.
    """
    lock = subject.recipe.lock
    found = subject.index.fingerprint
    if lock is not None and lock.data is not None and lock.data.lower() != found:
        raise UnavailableError(
            f"lock.data: the images or their splits are not those of the run that is repeated: fingerprint"
            f" {found[:12]}…, expected {lock.data[:12]}…",
            remedy="Take the same images (data.root) and splits, or train on these: --set lock=null",
        )
