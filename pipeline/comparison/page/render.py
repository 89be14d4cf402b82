"""The page itself: texts, figures and pictures put into its template."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.comparison.page.figures.from_facts import MOST_LINES
from pipeline.comparison.page.words import Words
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.html import fill
from pipeline.report.page.render import FIGURES as OF_A_RUN
from pipeline.report.page.thumbnails import Thumbnail

_TEMPLATES = Path(__file__).parent / "templates"

_SOME = f"Of more than {MOST_LINES} arms, those with the highest accuracy."

FIGURES: dict[str, tuple[str, str]] = {
    "accuracies": (
        "Accuracy and difference to the reference",
        "Left: test accuracy of the chosen and of the last epoch, the mean over seeds with its 95 % interval; each seed"
        " is a small dot. Right: the paired difference to the arm's reference; an interval without 0 shows one.",
    ),
    "differences-to-plain": (
        "Difference to plain training",
        "Paired by seed and image, on test, chosen epoch, with 95 % intervals.",
    ),
    "training-curves": (
        "Validation accuracy and loss by epoch",
        "The mean over seeds; the area goes from the least to the largest. Losses are sums of other parts in each arm:"
        " their heights are not to be compared.",
    ),
    "training-time": (
        "Where the time went",
        "Seconds of training a student, the mean over seeds, by part: reading images, views, teachers or their cache,"
        " the passes through the student, and validation.",
    ),
    "wins": (
        "Which arm has what another has not",
        "Test images that the arm of the row has right and that of the column has not.",
    ),
    "reliability": (
        "Reliability diagram",
        "Accuracy against confidence on test, of one student of each arm; on the dotted line a network is as sure as it"
        f" is right. Below: how many images have this confidence. {_SOME}",
    ),
    "robustness": (
        "Accuracy on corrupted images",
        "All test images under six kinds of corruption, the mean over seeds; severity 0 is the image as it is."
        f" {_SOME}",
    ),
    "attention-maps": (
        "Where the students and the teacher look",
        "Class activation map of each network's answer, with the answer: right (✓) or wrong (✗). Images on which the"
        " arms disagree come first. The teacher looks at the image itself here.",
    ),
    "view-gallery": OF_A_RUN["view-gallery"],
    "view-weights": OF_A_RUN["view-weights"],
    "features": (
        "Features of each arm in the plane",
        OF_A_RUN["features"][1],
    ),
    "mean-logits": OF_A_RUN["mean-logits"],
    "logit-distribution": OF_A_RUN["logit-distribution"],
}
"""Figure → its title and what it shows."""


def render(
    title: str,
    words: Words,
    figures: Mapping[str, Drawn],
    pictures: Mapping[str, list[Thumbnail]],
    why_not: str | None,
) -> str:
    """The HTML of a comparison's page: self-contained, without scripts.

    Args:
        title: the recipe's name.
        words: texts and tables.
        figures: by name; those that are not there are left out.
        pictures: arm → examples of what it alone has right.
        why_not: why the students could not be asked; None where they were, or were not to be.
    """
    return fill(
        "comparison.html.j2",
        folder=_TEMPLATES,
        figures=figures,
        captions=FIGURES,
        title=f"{title}: comparison",
        of="comparison",
        state=words.state,
        words=words,
        pictures=pictures,
        why_not=why_not,
    )
