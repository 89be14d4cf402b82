"""`report.html` and `report/figures/` of a comparison's directory."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.errors import TmkdError, message_of
from exporters.core.progress import shown_by, working
from pipeline.comparison.best import best_arm
from pipeline.comparison.page.facts import ComparisonFacts, read_comparison
from pipeline.comparison.page.figures.from_facts import figures_of_files
from pipeline.comparison.page.tables import tables
from pipeline.comparison.page.words import words
from pipeline.comparison.wins import Wins, wins
from pipeline.console import Console
from pipeline.data.listing import SplitName
from pipeline.report.page.figures.from_evidence import figures_of_evidence
from pipeline.report.page.steps import page_steps
from pipeline.report.page.thumbnails import Thumbnail, thumbnails
from pipeline.report.page.write import save
from pipeline.runner.stage import StageContext

if TYPE_CHECKING:
    from pipeline.explain.evidence import Evidence

EXAMPLES = 4
"""Pictures of what one arm alone has right."""

_ASKED = 12
"""Students that are asked, at most."""


def write_page(folder: Path, console: Console) -> Path:
    """Write the page of a comparison, finished or not, and its figures beside it.

    Args:
        folder: of the comparison.
        console: where it is said how far the work is.

    Returns:
        The page.

    Raises:
        UsageError: what the comparison was asked for cannot be read.
        UnavailableError: the results of a finished run cannot be read.
    """
    from pipeline.comparison.page.render import render

    with shown_by(console.track):
        with working("reading the files of all runs"):
            facts = read_comparison(folder, console.warn)
        evidence, why_not = _evidence(facts, console)
        sketches = figures_of_files(facts)
        if evidence is not None and facts.index is not None:
            sketches += figures_of_evidence(evidence, facts.index.classes)
        with page_steps(len(sketches) + 3) as steps:
            figures = steps.draw(sketches)
            with steps.step("tables"):
                best = best_arm(facts.figures)
                found = wins(facts.figures) if len(facts.figures) > 1 else None
                own_tables = dict(tables(facts, best, found, evidence))
                text = words(facts, best, evidence, own_tables, str(folder))
            with steps.step("example images"):
                pictures = {} if found is None else _pictures(facts, found)
            with steps.step("writing its files"):
                page = render(facts.plan.recipe, text, figures, pictures, why_not)
                return save(folder, page, figures.values())


def _evidence(facts: ComparisonFacts, console: Console) -> "tuple[Evidence | None, str | None]":
    """What the students say, or why they could not be asked."""
    runs = list(facts.first_runs.items())[:_ASKED]
    if not runs:
        return None, None
    from pipeline.explain.arms import gather_arms

    try:
        with working("asking the students about test images"):
            return gather_arms(
                {arm: StageContext(run.recipe, run.directory, console, fingerprint="") for arm, run in runs}
            ), None
    except (TmkdError, OSError) as error:
        return None, message_of(error)


def _pictures(facts: ComparisonFacts, found: Wins) -> dict[str, list[Thumbnail]]:
    """Arm → examples of what it alone has right."""
    index, runs = facts.index, facts.first_runs
    if index is None:
        return {}
    pictures = {}
    for number, name in enumerate(found.names):
        labels = runs[name].facts.predictions["labels.test"]
        wanted: list[tuple[SplitName, int, str]] = []
        for row in found.examples(number, labels, EXAMPLES):
            others = [run.facts.predictions["chosen.test"][row] for arm, run in runs.items() if arm != name]
            answers = Counter(map(int, others))
            wrong = [answer for answer, _count in answers.most_common() if answer != labels[row]]
            said = f"; others: {index.classes[wrong[0]]}" if wrong else ""
            wanted.append(("test", row, f"{index.classes[labels[row]]}{said}"))
        pictures[name] = thumbnails(index, wanted)
    return pictures
