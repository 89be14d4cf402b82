"""`report.html` and `report/figures/` of a run directory."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.errors import TmkdError, message_of
from exporters.core.files import atomic_directory, write_text
from exporters.core.progress import shown_by, working
from pipeline.console import Console
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.accuracy import teacher_size
from pipeline.report.page.class_tables import confusions
from pipeline.report.page.facts import Facts, read_facts
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.figures.from_evidence import figures_of_evidence
from pipeline.report.page.figures.from_facts import figures_of_files
from pipeline.report.page.near import near_duplicates_note
from pipeline.report.page.numbers import numbers
from pipeline.report.page.steps import page_steps
from pipeline.report.page.thumbnails import Thumbnail, thumbnails
from pipeline.report.page.words import words
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext

if TYPE_CHECKING:
    from pipeline.explain.cost import Costs
    from pipeline.explain.evidence import Evidence

PAGE = "report.html"
FOLDER = "report"

_EXAMPLES = 2
"""Pictures of each confused pair."""


def write_report(run: RunDirectory, recipe: Recipe, console: Console) -> Path:
    """Write the page of a run, finished or not, and its figures beside it.

    Args:
        run: the directory.
        recipe: its recipe.
        console: where it is said how far the work is.

    Returns:
        The page.
    """
    from pipeline.report.page.render import render

    with shown_by(console.track):
        with working("reading the run's files"):
            facts = read_facts(run, recipe)
        evidence, why_not = _evidence(facts, run, recipe, console)
        costs = _costs(facts, run, console)
        sketches = figures_of_files(facts)
        if evidence is not None and facts.index is not None:
            sketches += figures_of_evidence(evidence, facts.index.classes)
        with page_steps(len(sketches) + 4) as steps:
            figures = steps.draw(sketches)
            with steps.step("example images"):
                pictures = {} if facts.index is None else _pictures(facts, facts.index)
            with steps.step("tables"):
                text = words(facts, recipe, str(run.path), teacher_size(run), evidence, costs)
            with steps.step("near-duplicates across splits"):
                if facts.index is not None:
                    text.notes["data"].append(near_duplicates_note(facts.index, run.path))
            with steps.step("writing its files"):
                page = render(recipe.name, facts.state, text, figures, pictures, why_not)
                return save(run.path, page, figures.values(), numbers(facts, evidence, costs))


def save(directory: Path, page: str, figures: Iterable[Drawn], files: Iterable[tuple[str, str]] = ()) -> Path:
    """Write `report.html`, the figures as PNG and SVG to `report/figures/`, and other files to `report/`.

    Args:
        directory: of the run or the comparison.
        page: HTML.
        figures: of the page.
        files: name and text of each.

    Returns:
        The page.
    """
    with atomic_directory(directory / FOLDER) as folder:
        (folder / "figures").mkdir()
        for figure in figures:
            (folder / "figures" / f"{figure.name}.png").write_bytes(figure.png)
            (folder / "figures" / f"{figure.name}.svg").write_text(figure.file, encoding="utf-8")
        for name, content in files:
            (folder / name).write_text(content, encoding="utf-8")
    write_text(directory / PAGE, page)
    return directory / PAGE


def _evidence(
    facts: Facts, run: RunDirectory, recipe: Recipe, console: Console
) -> "tuple[Evidence | None, str | None]":
    """What the networks say, or why they could not be asked."""
    if facts.verdict is None:
        return None, None
    from pipeline.explain.evidence import gather

    try:
        with working("asking the networks about test images"):
            return gather(StageContext(recipe, run, console, fingerprint=""), facts.verdict), None
    except (TmkdError, OSError) as error:
        return None, message_of(error)


def _costs(facts: Facts, run: RunDirectory, console: Console) -> "Costs | None":
    """What teacher and student cost; None before there is a student, or where its files are not whole."""
    trained = facts.records.get("distill")
    if trained is None or trained.status != "done":
        return None
    from pipeline.explain.cost import measure_costs
    from pipeline.explain.evidence import STUDENT, TEACHER

    folders = {STUDENT: run.folder("distill") / "chosen"}
    if "teacher" in facts.records:
        folders = {TEACHER: run.folder("teacher"), **folders}
    file = run.folder("export") / "model.onnx"
    exported = {STUDENT: file} if "export" in facts.records and file.is_file() else {}
    try:
        with working("timing teacher and student"):
            return measure_costs(folders, exported)
    except (TmkdError, OSError) as error:
        console.warn(f"teacher and student were not timed: {message_of(error)}")
        return None


def _pictures(facts: Facts, index: DataIndex) -> dict[str, list[Thumbnail]]:
    """Odd images of the data, and examples of what is mixed up."""
    pictures = {"odd": thumbnails(index, odd_images(index))}
    if facts.verdict is not None and facts.predictions:
        answers, labels = facts.predictions["chosen.test"], facts.predictions["labels.test"]
        wanted: list[tuple[SplitName, int, str]] = []
        for pair in confusions(facts)[:4]:
            rows = np.flatnonzero((labels == pair.true) & (answers == pair.answer))[:_EXAMPLES]
            caption = f"{index.classes[pair.true]}\ntaken for {index.classes[pair.answer]}"
            wanted += [("test", int(row), caption) for row in rows]
        pictures["confused"] = thumbnails(index, wanted)
    return pictures


def odd_images(index: DataIndex) -> list[tuple[SplitName, int, str]]:
    """The smallest, the largest and the most elongated image, where they are out of the ordinary: split, position and
    caption.

    Out of the ordinary: half or twice the median area, or of an aspect ratio of 3 and more.
    """
    splits = [(name, split) for name, split in index.splits.items() if len(split)]
    sizes = np.concatenate([split.sizes for _name, split in splits]).astype(np.float64)
    ends = np.cumsum([len(split) for _name, split in splits])
    areas, longer = sizes.prod(axis=1), sizes.max(axis=1) / sizes.min(axis=1)
    middle = float(np.median(areas))
    found: dict[int, str] = {}
    for row, odd, what in (
        (int(areas.argmin()), areas.min() <= middle / 2, "the smallest"),
        (int(areas.argmax()), areas.max() >= 2 * middle, "the largest"),
        (int(longer.argmax()), longer.max() >= 3, "the most elongated"),
    ):
        if odd:
            found.setdefault(row, f"{what}: {sizes[row, 0]:.0f} × {sizes[row, 1]:.0f}")
    placed = [(row, int(np.searchsorted(ends, row, side="right")), caption) for row, caption in found.items()]
    return [
        (splits[which][0], row - int(ends[which] - len(splits[which][1])), caption) for row, which, caption in placed
    ]
