from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pipeline.data.index import IndexedSplit
from pipeline.data.inspection.found import Found
from pipeline.data.inspection.inspect import InspectedSplit, Inspection
from pipeline.data.listing import Listing, Split
from pipeline.data.path_table import PathTable
from pipeline.report.data_page.figures import class_counts, figures_of_data, image_sizes
from pipeline.report.data_page.words import state_of, words_of_data
from tests.pipeline.data.conftest import Data


def inspection(classes: int, images: int = 3) -> Inspection:
    labels = np.repeat(np.arange(classes), images)
    paths = PathTable.of(f"{number}.png" for number in range(len(labels)))
    sizes = np.tile(np.array([[30, 40]], np.int32), (len(labels), 1))
    split = IndexedSplit(paths, labels, np.zeros((len(labels), 32), np.uint8), sizes)
    inspected = {name: InspectedSplit(split, np.zeros(0, np.int64)) for name in ("train", "test")}
    return Inspection(
        Listing(Path("data"), [f"class {label}" for label in range(classes)], {"train": Split([], [])}),
        inspected,  # type: ignore[arg-type]
        Counter({"PNG": len(labels)}),
        Counter({"RGB": len(labels)}),
        Found(),
        {},
        {name: Found() for name in inspected},  # type: ignore[misc]
        {},
        Found(),
        [],
        {},
        None,
    )


@pytest.mark.parametrize(("classes", "named"), [(2, True), (1000, False)])
def test_classes_are_named_where_there_are_few(classes: int, named: bool) -> None:
    svg = class_counts(inspection(classes)).svg
    assert ("class 1" in svg) is named and "train" in svg and "test" in svg


def test_sizes_that_are_all_the_same_are_drawn() -> None:
    assert "side, pixels" in image_sizes(np.array([[64, 64]] * 5)).svg


@pytest.mark.parametrize("classes", [2, 1000])
def test_page_of_few_and_of_many_classes_has_them_all_in_its_table(classes: int) -> None:
    found = inspection(classes)
    words = words_of_data(found, None, Data())  # type: ignore[arg-type]
    assert len(words.tables["classes"].rows) == classes and words.tables["splits"].rows[0][1] == f"{3 * classes:,}"
    assert (words.verdict, state_of(words)) == ("Nothing would stop a run", "shipped")
    assert [sketch.name for sketch in figures_of_data(found)] == ["class-counts", "image-sizes"]


def test_data_set_without_readable_images_has_no_figure_of_sizes() -> None:
    assert [sketch.name for sketch in figures_of_data(inspection(2, 0))] == ["class-counts"]
