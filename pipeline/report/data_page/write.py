"""The page of a data set as one file."""

from pathlib import Path

from exporters.core.files import write_text
from exporters.core.progress import shown_by
from pipeline.console import Console
from pipeline.data.inspection.inspect import Inspection
from pipeline.data.settings import DataSettings
from pipeline.explain.suspects import LabelSuspects
from pipeline.report.data_page.figures import CAPTIONS, figures_of_data
from pipeline.report.data_page.pictures import Shown, near_ones, odd_ones, store_of, suspects_shown
from pipeline.report.data_page.words import state_of, words_of_data
from pipeline.report.page.html import fill
from pipeline.report.page.steps import page_steps

TEMPLATES = Path(__file__).parent / "templates"


def write_data_page(
    name: str,
    inspection: Inspection,
    suspects: LabelSuspects | None,
    settings: DataSettings,
    path: Path,
    console: Console,
) -> None:
    """Write the page: one file that opens without a network.

    Args:
        name: of the data set.
        inspection: what was found.
        suspects: what a student says about labels; None where none was asked.
        settings: the recipe's `data` section.
        path: of the page.
        console: where it is said how far the work is.
    """
    store, sketches = store_of(inspection), figures_of_data(inspection)
    with shown_by(console.track), page_steps(len(sketches) + 5) as steps:
        figures = steps.draw(sketches)
        with steps.step("doubted labels"):
            asked: list[Shown] = []
            if suspects is not None:
                headings = ("Images that the student was not trained on", "Images that it was trained on")
                lists = zip(headings, (suspects.unseen, suspects.trained_on), strict=True)
                asked = [suspects_shown(heading, found, store) for heading, found in lists if found.count]
        with steps.step("tables"):
            words = words_of_data(inspection, suspects, settings)
        with steps.step("near-duplicates"):
            near = list(near_ones(inspection, store))
        with steps.step("odd images"):
            odd = list(odd_ones(inspection, store))
        with steps.step("writing the file"):
            page = fill(
                "data.html.j2",
                figures=figures,
                captions=CAPTIONS,
                folder=TEMPLATES,
                title=name,
                state=state_of(words),
                words=words,
                of="data set",
                near=near,
                odd=odd,
                asked=asked,
            )
            write_text(path, page)
