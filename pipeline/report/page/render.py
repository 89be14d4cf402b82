"""The page itself: texts, figures and pictures put into its template."""

from collections.abc import Mapping

from pipeline.report.page.facts import State
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.html import fill
from pipeline.report.page.thumbnails import Thumbnail
from pipeline.report.page.words import Words

FIGURES: dict[str, tuple[str, str]] = {
    "training-curves": (
        "Losses and validation accuracy by epoch",
        "Left: the parts of the loss, each as it is weighted. Right: validation accuracy of every training; the ring"
        " is the epoch that was chosen.",
    ),
    "training-time": (
        "Where the time went",
        "Seconds of each training by part: reading images, views, teachers or their cache, the passes through the"
        " trained network, and validation.",
    ),
    "class-accuracy": (
        "Accuracy of the worst classes",
        "On test, the classes with the lowest accuracy first, with 95 % intervals. All classes are in the table.",
    ),
    "confusion-matrix": (
        "Confusion matrix",
        "Shares of each true class by answer, on test. Classes that are mixed up stand side by side; of many"
        " classes, each cell holds several.",
    ),
    "confusion-closeup": (
        "The classes that are mixed up most",
        "The same shares, of the classes with most confusions alone.",
    ),
    "class-spread": (
        "How accuracy is spread over the classes",
        "Classes by their accuracy on test.",
    ),
    "reliability": (
        "Reliability diagram",
        "Accuracy against confidence on test; on the dotted line a network is as sure as it is right. Below: how many"
        " images have this confidence.",
    ),
    "robustness": (
        "Accuracy on corrupted images",
        "Test images under six kinds of corruption; severity 0 is the image as it is. The teacher"
        " looks at the image itself here.",
    ),
    "view-gallery": (
        "The teacher's views",
        "Test images as the teacher sees them, with the weight of each view found without labels; bold: the largest.",
    ),
    "view-weights": (
        "Weights of the views by class",
        "Mean weight of each view, found without labels, on test images.",
    ),
    "attention-maps": (
        "Where the networks look",
        "Class activation map of each network's answer, with the answer: right (✓) or wrong (✗). Images on which the"
        " networks disagree come first. The teacher looks at the image itself here.",
    ),
    "features": (
        "Features in the plane",
        "Pooled features of test images by t-SNE with a fixed seed. Distances between groups mean little; the table"
        " below has the separation in numbers.",
    ),
    "mean-logits": (
        "Mean logits by class",
        "Rows: images of a class. Columns: the same classes, in the same order. Each image's mean logit is taken off.",
    ),
    "logit-distribution": (
        "Logits of the true class and of the best other one",
        "Less each image's mean logit. Where the two overlap, the network is unsure.",
    ),
}
"""Figure → its title and what it shows."""


def render(
    title: str,
    state: State,
    words: Words,
    figures: Mapping[str, Drawn],
    pictures: Mapping[str, list[Thumbnail]],
    why_not: str | None,
) -> str:
    """The HTML of a run's page: self-contained, without scripts.

    Args:
        title: the run's name.
        state: what came of it.
        words: texts and tables.
        figures: by name; those that are not there are left out.
        pictures: `odd` ones of the data, and examples of classes that are `confused`.
        why_not: why the networks could not be asked; None where they were, or were not to be.
    """
    return fill(
        "report.html.j2",
        figures=figures,
        captions=FIGURES,
        title=title,
        of="run",
        state=state,
        words=words,
        pictures=pictures,
        why_not=why_not,
    )
