"""The page of `diff` as one file: figures, classes, and a contact sheet of the images that changed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from exporters.core.files import write_text
from exporters.core.wording import count_of
from exporters.images.decoding import open_rgb
from pipeline.console import Console
from pipeline.data.path_table import printable
from pipeline.diff import tables
from pipeline.diff.answers import Answers
from pipeline.diff.gates import Verdict
from pipeline.diff.measure import Measured
from pipeline.diff.report import answer_name
from pipeline.report.page.figures.calibration import reliability_diagram
from pipeline.report.page.html import fill
from pipeline.report.page.thumbnails import Thumbnail, thumbnail
from pipeline.report.page.words import Words

TEMPLATES = Path(__file__).parent / "templates"

MOST_PICTURES = 96
"""Of images that changed, of each kind; the surest answers of the new bundle first."""

_CLASSES = 20
_SIDE = 144
_CAPTIONS = {
    "reliability": (
        "Reliability diagram",
        "Accuracy against confidence; on the dotted line a model is as sure as it is right. Below: how many images have"
        " this confidence.",
    )
}


def write_page(measured: Measured, verdicts: Sequence[Verdict], path: Path, console: Console) -> None:
    """Write the page: one file that opens without a network.

    Args:
        measured: what was measured.
        verdicts: of the gates.
        path: of the page.
        console: where it is said how far the work is.
    """
    with console.track("drawing the page", None):
        confidences = {"old": measured.old_confidence, "new": measured.new_confidence}
        bins = {name: each.bins for name, each in confidences.items() if each is not None}
        figures = {"reliability": reliability_diagram(bins)} if bins else {}
        page = fill(
            "diff.html.j2",
            figures=figures,
            captions=_CAPTIONS,
            folder=TEMPLATES,
            title=f"{measured.old.name} → {measured.new.name}",
            of="two bundles",
            state=state_of(measured, verdicts),
            words=words(measured, verdicts),
            pictures={
                "lost": _pictures(measured, measured.lost),
                "gained": _pictures(measured, measured.gained),
            },
        )
        write_text(path, page)


def state_of(measured: Measured, verdicts: Sequence[Verdict]) -> str:
    """The colour of the verdict: without gates, whether the accuracy is better or worse beyond chance."""
    if verdicts:
        return "shipped" if all(verdict.passed for verdict in verdicts) else "refused"
    if measured.overall.p >= tables.LEVEL:
        return "unfinished"
    return "shipped" if measured.overall.difference > 0 else "refused"


def words(measured: Measured, verdicts: Sequence[Verdict]) -> Words:
    """The texts of the page."""
    found = {"summary": tables.summary(measured), "classes": tables.classes(measured, _CLASSES)}
    if verdicts:
        found["gates"] = tables.gates(verdicts)
    if len(found["classes"].rows) < len(measured.classes):
        found["every-class"] = tables.classes(measured)
    if not found["classes"].rows:
        del found["classes"]
    which = [
        f"{name}: {bundle.folder} ({bundle.file})" for name, bundle in (("Old", measured.old), ("new", measured.new))
    ]
    why = [
        *tables.sentences(measured),
        f"{'; '.join(map(printable, which))}. Images: {printable(str(measured.folder))}.",
    ]
    notes = {"lost": [_counted(len(measured.lost))], "gained": [_counted(len(measured.gained))]}
    return Words(tables.verdict(measured, verdicts), why, found, notes)


def _counted(images: int) -> str:
    if not images:
        return "No image."
    some = f", of which {MOST_PICTURES} are shown, those that the new bundle is surest of"
    return (
        f"{count_of(images, 'image')}{some if images > MOST_PICTURES else ''}. Each with its class, and both answers."
    )


def _pictures(measured: Measured, rows: np.ndarray) -> list[Thumbnail]:
    """Small pictures; those of images that are gone since are left out."""
    asked, found = measured.asked, []
    for row in rows[:MOST_PICTURES].tolist():
        image = asked.images[row]
        name = measured.labels.classes[asked.truth[row]]
        caption = "\n".join(
            [
                name,
                *(_said(measured, which, answers, row) for which, answers in (("old", asked.old), ("new", asked.new))),
            ]
        )
        shown = printable(str(image.relative_to(measured.folder)))
        if made := thumbnail(partial(open_rgb, image), caption, shown, _SIDE):
            found.append(made)
    return found


def _said(measured: Measured, which: str, answers: Answers, row: int) -> str:
    name = answer_name(measured, answers, row)
    if name is None:
        return f"{which}: no answer"
    right = "✓" if answers.classes[row] == measured.asked.truth[row] else f"✗ {name}"
    return f"{which}: {right} ({100 * answers.confidence[row]:.0f} %)"
