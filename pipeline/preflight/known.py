"""Images to tell apart what is none of the classes: enough of validation, and a folder of foreign ones with some."""

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.known import least_images
from exporters.core.wording import count_of
from exporters.images.scan import Scan
from pipeline.preflight.base import Report, Subject
from pipeline.stages.shared.known import foreign_folder


def check_images(subject: Subject, report: Report) -> None:
    """Refuse a share of false alarms that the validation split is too small for."""
    known, images = subject.recipe.known, len(subject.index.splits["validation"])
    if known.score == "none":
        return
    least = least_images(known.false_alarms)
    if images < least:
        report.add(
            UsageError(
                f"known.false_alarms: {known.false_alarms:g} needs {count_of(least, 'validation image')} or more to"
                f" choose a threshold on, and there are {images:,}",
                remedy="Allow more false alarms, set more images aside (data.validation), or set known.score to none.",
            )
        )


def check_foreign(subject: Subject, report: Report) -> None:
    """Refuse a folder of foreign images that has none; `files` says where it is missing."""
    known = subject.recipe.known
    if known.score == "none" or known.foreign is None:
        return
    folder = foreign_folder(known.foreign)
    if folder.is_dir() and not Scan(folder).images_below(folder):
        report.add(
            UnavailableError(
                f"known.foreign: no image is in {folder} or below it",
                remedy="Give a folder of images that are none of the classes, or leave the key out.",
            )
        )
